"""Attention weights of every layer, which exist only under the eager implementation: switched to and back again."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, cast

from jaxtyping import Float
from torch import Tensor, nn

from evenhand.core.component import Layout, Site
from evenhand.core.errors import CannotRun
from evenhand.lm.attribution.rows import Row
from evenhand.lm.attribution.trace import frozen, inputs
from evenhand.lm.model import LM

_ENTRIES = 1 << 26
"""Attention weights held at once (256 MiB in float32)."""


@contextmanager
def eager(lm: LM) -> Generator[None]:
    """Run attention by the eager implementation for the length of a `with` block.

    The sums come out in another order than under other implementations (differences of the last bits), and exactly as
    before once the block has ended.
    """
    config: Any = lm.model.config
    before = str(config._attn_implementation)
    if before == "eager":
        yield
        return
    lm.model.set_attn_implementation("eager")
    try:
        yield
    finally:
        lm.model.set_attn_implementation(before)


def attention(
    lm: LM, rows: Sequence[Row], layout: Layout
) -> Iterator[tuple[tuple[Row, ...], dict[str, Float[Tensor, "row head query key"]]]]:
    """Yield batches of rows with the attention weights of every site of a `head` layout, by the writer's path.

    Keys are positions in the encoder for cross-attention. Batches shrink with the square of the length.
    """
    waiting = sorted(rows, key=lambda row: row.length)
    heads = layout.size
    while waiting:
        count = max(1, min(len(waiting), _ENTRIES // (heads * waiting[-1].length ** 2)))
        chunk = tuple(waiting[:count])
        del waiting[:count]
        yield chunk, _weights(lm, chunk, layout)


def _weights(lm: LM, rows: Sequence[Row], layout: Layout) -> dict[str, Tensor]:
    """Catch what the attention modules return, with hooks of our own.

    `output_attentions=True` would do it too, but makes transformers put hooks on the model that stay there.
    """
    found: dict[str, Tensor] = {}
    with ExitStack() as stack:
        stack.enter_context(eager(lm))
        stack.enter_context(frozen(lm, gradients=False))
        for site in layout.sites:
            for module in _ancestors(lm, site.path):
                stack.callback(module.register_forward_hook(_catcher(found, site)).remove)
        lm.run(inputs(lm, rows))
    missed = [site.path for site in layout.sites if site.path not in found]
    if missed:
        raise CannotRun(
            f"{missed[0]}: no module around it returns attention weights of {layout.sites[0].units} heads, so heads "
            "cannot be told apart; use another locator"
        )
    return found


def _ancestors(lm: LM, path: str) -> list[nn.Module]:
    """The modules around a writer inside its block, innermost first."""
    parts = path.split(".")
    block = max(i for i, part in enumerate(parts) if part.isdigit() and not any(p.isdigit() for p in parts[:i]))
    return [lm.module(".".join(parts[:end])) for end in range(len(parts) - 1, block + 1, -1)]


def _catcher(found: dict[str, Tensor], site: Site) -> Callable[[Any, Any, Any], None]:
    def hook(module: Any, args: Any, output: Any) -> None:
        if isinstance(output, tuple) and site.path not in found:
            maps = [x for x in cast("tuple[Any, ...]", output) if isinstance(x, Tensor) and x.ndim == 4]
            if maps and maps[-1].shape[1] == site.units:  # T5 puts its position bias, of the same shape, before them
                found[site.path] = maps[-1].detach().float()

    return hook
