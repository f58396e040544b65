"""Running a batch again from the first block that changes, instead of from the embeddings.

What units of block l do changes nothing before that block. So a batch is run once as the model stands and what each
block returns is kept; for every change of it the first l blocks hand out what they returned then, and only the others
compute (0 difference; transformers-notes, section 1). Blocks are counted through all stacks, encoder before decoder.

    with keeping(lm) as states:
        forward(lm, inputs, row, at)
    with resumed(lm, states, block, index), masks.rows(which):
        forward(lm, {name: value[index] for name, value in inputs.items()}, row, at)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Hashable, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

import torch
from jaxtyping import Int
from torch import Tensor, nn

from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun
from evenhand.lm.model import LM

_STAND_INS: WeakSet[Callable[..., Any]] = WeakSet()
"""Every `forward` that is put in the place of a block's own."""


@dataclass(frozen=True, eq=False)
class States:
    """What blocks returned for a batch, cut off from the graph: the residual stream after each, [row pos d]."""

    outputs: dict[int, Any] = field(default_factory=dict[int, Any])
    """By block; some families add to the stream what later blocks share (T5: position biases)."""


def blocks(lm: LM) -> list[tuple[str, int]]:
    """Return (stack, layer) of every block, in the order in which they run."""
    return list(dict.fromkeys((site.stack, site.layer) for site in lm.layout("head").sites))


def first_block(lm: LM, selection: Selection) -> int:
    """Return the first block that such units change; the number of blocks for none, 0 for units outside of blocks."""
    order = {key: number for number, key in enumerate(blocks(lm))}
    return min((order.get((site.stack, site.layer), 0) for site, _ in selection.by_site()), default=len(order))


@contextmanager
def keeping(lm: LM, starts: Collection[int] | None = None) -> Generator[States]:
    """Keep what the blocks return in the forward pass of this context, as far as `resumed` needs it from `starts` on.

    Without `starts` from every block: as much memory as all the residual streams of the batch.
    """
    states, last = States(), {numbers[-1] for numbers, _ in _stacks(lm)}
    with ExitStack() as hooks:
        for numbers, modules in _stacks(lm):
            for number, module in zip(numbers, modules, strict=True):
                if starts is None or number + 1 in starts or number in last:
                    hooks.callback(module.register_forward_hook(_keeper(states, number)).remove)
        yield states


@contextmanager
def resumed(lm: LM, states: States, block: int, index: Int[Tensor, " row"]) -> Generator[None]:
    """Let every forward in this context begin with block `block`, row i as row `index[i]` of the batch kept.

    Those rows' inputs must be given, padded as they were then, without cache. Where gradients are enabled they flow
    from `block` on. The modules are as before at the end, however it comes. Raises ValueError when what comes before
    `block` was not kept, and for a batch of another shape.
    """
    if lm.decoding is not None and block:
        raise CannotRun(
            "a batch cannot be run again from one of its blocks while an edit of decoding is applied, which runs rows "
            "of its own; look at the model without that edit"
        )
    with ExitStack() as undo:
        for numbers, modules in _stacks(lm):
            skipped = [number for number in numbers if number < block]
            if not skipped:
                break
            if skipped[-1] not in states.outputs:
                raise ValueError(f"what comes before block {block} was not kept; name it in `starts`")
            stand_in = _stand_in(states.outputs[skipped[-1]], index)
            for module in modules[: len(skipped)]:
                undo.callback(_put_back, module, vars(module).get("forward"))
                vars(module)["forward"] = stand_in
        yield


@contextmanager
def begun_once(lm: LM, inputs: dict[str, Any], same: Sequence[Hashable], block: int) -> Generator[None]:
    """Compute the blocks before `block` once for rows that are the `same` there; forwards in this context begin after.

    `inputs` are those of the whole batch, which must be given to these forwards without cache.
    """
    firsts: dict[Hashable, int] = {}
    for row, key in enumerate(same):
        firsts.setdefault(key, row)
    # An edit of decoding runs other rows within these forwards, of which nothing is known yet.
    if not block or len(firsts) == len(same) or lm.decoding is not None:
        yield
        return
    row = torch.tensor([*firsts.values()])
    few = {name: value[row.to(value.device)] if isinstance(value, Tensor) else value for name, value in inputs.items()}
    order = {key: number for number, key in enumerate(firsts)}
    index = torch.tensor([order[key] for key in same])
    with resumed(lm, _up_to(lm, few, block), block, index):
        yield


class _Enough(Exception):
    """The blocks asked for have run."""


def _up_to(lm: LM, inputs: dict[str, Any], block: int) -> States:
    """Run a batch through the blocks before `block` and no further."""

    def stop(module: Any, args: Any, output: Any) -> None:
        raise _Enough

    with ExitStack() as stack:
        states = stack.enter_context(keeping(lm, [block]))
        modules = [module for _, few in _stacks(lm) for module in few]
        stack.callback(modules[block - 1].register_forward_hook(stop).remove)
        stack.enter_context(torch.no_grad())
        stack.enter_context(suppress(_Enough))
        lm.run(inputs)
    return states


def _stacks(lm: LM) -> list[tuple[list[int], list[Any]]]:
    """Numbers and modules of the blocks of each stack."""
    order = blocks(lm)
    paths = {stack.name: stack.blocks for stack in lm.family.stacks}
    return [
        (
            [number for number, (own, _) in enumerate(order) if own == stack],
            [lm.module(paths[own].replace("#", str(layer))) for own, layer in order if own == stack],
        )
        for stack in dict.fromkeys(own for own, _ in order)
    ]


def _keeper(states: States, number: int) -> Callable[..., None]:
    def hook(module: Any, args: Any, output: Any) -> None:
        states.outputs[number] = tuple(map(_cut_off, output)) if isinstance(output, tuple) else _cut_off(output)  # pyright: ignore[reportUnknownArgumentType]

    return hook


def _cut_off(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


def _stand_in(output: Any, index: Int[Tensor, " row"]) -> Callable[..., Any]:
    """Return a forward that hands out these rows of a block's output whatever comes in."""
    parts: tuple[Any, ...] = output if isinstance(output, tuple) else (output,)  # pyright: ignore[reportUnknownVariableType]
    rows = len(parts[0])

    def of(value: Any) -> Any:
        shared = not isinstance(value, Tensor) or len(value) != rows
        return value if shared else value[index.to(value.device)]

    chosen = tuple(of(part) for part in parts)

    def forward(hidden: Tensor, *args: Any, **more: Any) -> Any:
        if hidden.shape != chosen[0].shape:
            raise ValueError(f"the batch is {tuple(hidden.shape)}, what was kept of it {tuple(chosen[0].shape)}")
        stream: Tensor = chosen[0].detach().requires_grad_(torch.is_grad_enabled())
        return (stream, *chosen[1:]) if isinstance(output, tuple) else stream

    _STAND_INS.add(forward)
    return forward


def stands_in(block: nn.Module) -> bool:
    """Whether a block hands out what was computed before, so that hooks at its output must not change it again."""
    return vars(block).get("forward") in _STAND_INS


def _put_back(module: Any, forward: Any) -> None:
    if forward is None:
        del vars(module)["forward"]
    else:
        vars(module)["forward"] = forward
