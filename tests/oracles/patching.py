"""What a state stands for, one prompt at a time: the whole model, a hook that overwrites one token, full logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from evenhand.lm.model import LM


def states(lm: LM, ids: Sequence[int], position: int) -> Tensor:
    """Return the residual stream [layer, d] after every block at one token, as transformers hands it out."""
    blocks = _blocks(lm)
    taken: dict[int, Tensor] = {}
    hooks = [b.register_forward_hook(lambda m, a, out, i=i: taken.__setitem__(i, _stream(out)[0, position].clone()))
             for i, b in enumerate(blocks)]  # fmt: skip
    _logits(lm, ids)
    for hook in hooks:
        hook.remove()
    return torch.stack([taken[i] for i in range(len(blocks))])


def answer(lm: LM, ids: Sequence[int], forms: Sequence[Sequence[int]], patch: tuple[int, Any, Tensor] | None) -> float:
    """Return log Σ p(form), every form run by itself behind the prompt; `patch` is (layer, position(s), state)."""

    def overwrite(module: Any, args: Any, out: Any) -> None:
        _stream(out)[0, patch[1]] = patch[2]  # type: ignore[index]

    hook = _blocks(lm)[patch[0]].register_forward_hook(overwrite) if patch else None
    found = []
    for form in forms:
        logp = _logits(lm, [*ids, *form]).double().log_softmax(-1)
        found.append(sum(float(logp[len(ids) - 1 + i, token]) for i, token in enumerate(form)))
    if hook:
        hook.remove()
    return float(torch.tensor(found, dtype=torch.float64).logsumexp(0))


def greedy(lm: LM, ids: Sequence[int], tokens: int, patch: tuple[int, Any, Tensor]) -> list[int]:
    """Return how the model goes on, the whole text read again for every token."""

    def overwrite(module: Any, args: Any, out: Any) -> None:
        _stream(out)[0, patch[1]] = patch[2]

    hook = _blocks(lm)[patch[0]].register_forward_hook(overwrite)
    said = list(ids)
    for _ in range(tokens):
        said.append(int(_logits(lm, said)[-1].argmax()))
    hook.remove()
    return said[len(ids) :]


def _blocks(lm: LM) -> list[Any]:
    count = len({site.layer for site in lm.layout("head").sites})
    return [lm.module(lm.family.stacks[0].blocks.replace("#", str(i))) for i in range(count)]


def _stream(out: Any) -> Tensor:
    return out[0] if isinstance(out, tuple) else out


def _logits(lm: LM, ids: Sequence[int]) -> Tensor:
    with torch.no_grad():
        return lm.model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
