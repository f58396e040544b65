"""Attention weights of every layer, which exist only under the eager implementation: switched to and back again."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jaxtyping import Float
from torch import Tensor

from evenhand.core.component import Layout
from evenhand.core.errors import CannotRun
from evenhand.lm.model import LM
from evenhand.lm.rows import Row
from evenhand.lm.trace import frozen, inputs

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
        with eager(lm), frozen(lm, gradients=False):
            out: Any = lm.model(**inputs(lm, chunk), output_attentions=True)
        yield chunk, _by_site(lm, out, layout)


def _by_site(lm: LM, out: Any, layout: Layout) -> dict[str, Tensor]:
    """Match the model's lists of attention weights to the layout's sites: per stack, in the order of its layers."""
    if lm.kind == "encoder-decoder":
        lists = {
            "encoder": list(out.encoder_attentions),
            "decoder": [
                pair for both in zip(out.decoder_attentions, out.cross_attentions, strict=True) for pair in both
            ],
        }
    else:
        lists = {layout.sites[0].stack: list(out.attentions)}
    found: dict[str, Tensor] = {}
    for stack, weights in lists.items():
        sites = [site for site in layout.sites if site.stack == stack]
        if [getattr(w, "shape", (0, 0))[1] for w in weights] != [site.units for site in sites]:
            raise CannotRun(
                f"{lm.identity.source}: it returned {len(weights)} attention maps for {len(sites)} {stack} sites, so "
                "attention cannot be told apart by head; use another locator"
            )
        found.update({site.path: w.float() for site, w in zip(sites, weights, strict=True)})
    return found
