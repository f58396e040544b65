"""Self-debiasing written out: each prefix alone, one text at a time, no cache, no padding, float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch


def next_logp(
    model: Any, text: Sequence[int], prefixes: Sequence[Sequence[int]], decay: float, epsilon: float
) -> torch.Tensor:
    """log p′ of the token after `text`."""

    def after(ids: list[int]) -> list[float]:
        with torch.no_grad():
            return model(torch.tensor([ids]), use_cache=False).logits[0, -1].double().softmax(-1).tolist()

    p = after(list(text))
    behind = [after([*prefix, *text]) for prefix in prefixes]
    weights: list[float] = []
    for w, mine in enumerate(p):
        most = max(each[w] for each in behind)
        excess = max(most - mine, 0.0)
        weights.append(max(math.exp(-decay * excess), epsilon) * mine)
    return torch.tensor([math.log(each / sum(weights)) for each in weights], dtype=torch.float64)


def continued(
    model: Any, text: Sequence[int], prefixes: Sequence[Sequence[int]], steps: int, end: int, decay: float = 50.0,
    epsilon: float = 0.01,
) -> tuple[list[int], list[torch.Tensor]]:  # fmt: skip
    """The greedy continuation, up to and with the end token, and log p′ at each step."""
    said: list[int] = []
    seen: list[torch.Tensor] = []
    while len(said) < steps and end not in said:
        seen.append(next_logp(model, [*text, *said], prefixes, decay, epsilon))
        said.append(int(seen[-1].argmax()))
    return said, seen


def likelihood(
    model: Any, ids: Sequence[int], first: int, prefixes: Sequence[Sequence[int]], decay: float = 50.0,
    epsilon: float = 0.01,
) -> float:  # fmt: skip
    """Sum of log p′ of the tokens from place `first` on."""
    found = (next_logp(model, ids[:i], prefixes, decay, epsilon)[ids[i]] for i in range(first, len(ids)))
    return float(sum(found))
