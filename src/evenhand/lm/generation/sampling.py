"""How a next token is drawn: the distribution that sampling uses, which exact search uses as well."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from evenhand.core.errors import UsageError
from evenhand.lm.batches.logits import log_softmax

_BLOCK = 256
_HELD = 1 << 22
"""Probabilities worked on at once."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Choices of drawing, all recorded. Nothing of the model's generation config is used except its end tokens.

    `temperature` 0 is greedy. `top_p` keeps the likeliest tokens that together reach it (after the temperature).
    """

    samples: int = 50
    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 24
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1 or self.max_new_tokens < 1:
            raise UsageError(f"samples ({self.samples}) and max_new_tokens ({self.max_new_tokens}) must be at least 1")
        if not self.temperature >= 0:
            raise UsageError(f"a temperature is 0 (greedy) or more, not {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p lies above 0 and up to 1 (everything), not {self.top_p}")


def distribution(logp: Float[Tensor, "row vocab"], sampling: Sampling) -> Float[Tensor, "row vocab"]:
    """Return the fp32 probabilities that tokens are drawn with, from a log-softmax."""
    if sampling.temperature == 0:
        return torch.zeros_like(logp).scatter_(1, logp.argmax(1, keepdim=True), 1.0)
    p = logp.exp() if sampling.temperature == 1 else torch.softmax(logp / sampling.temperature, dim=1)
    if sampling.top_p == 1:
        return p
    ordered, index = p.sort(dim=1, descending=True, stable=True)
    before = ordered.cumsum(1) - ordered
    kept = torch.zeros_like(p).scatter_(1, index, ordered.masked_fill(before >= sampling.top_p, 0.0))
    return kept / kept.sum(1, keepdim=True)


def sample(
    logits: Float[Tensor, "row vocab"], sampling: Sampling, uniform: Float[Tensor, " row"]
) -> Int[Tensor, " row"]:
    """Return a token for each row, decided by `uniform[i]` in [0, 1); a few rows at a time, so little is held."""
    step = max(1, _HELD // logits.shape[1])
    pieces = zip(torch.split(logits, step), torch.split(uniform, step), strict=True)
    return torch.cat([draw(distribution(log_softmax(part), sampling), u) for part, u in pieces])


def draw(p: Float[Tensor, "row vocab"], uniform: Float[Tensor, " row"]) -> Int[Tensor, " row"]:
    """Return the token at quantile `uniform[i]` (in [0, 1)) of row i; never one of probability 0.

    Sums run over blocks of tokens first and then inside one block, so that a large vocabulary costs one pass.
    """
    width = -(-p.shape[1] // _BLOCK) * _BLOCK
    filled = p if width == p.shape[1] else torch.cat([p, p.new_zeros(len(p), width - p.shape[1])], dim=1)
    blocks = filled.reshape(len(p), -1, _BLOCK)
    reached = blocks.sum(2).double().cumsum(1)
    wanted = uniform.to(reached)[:, None] * reached[:, -1:]
    block = torch.searchsorted(reached, wanted, right=True)[:, 0].clamp(max=reached.shape[1] - 1)
    rows = torch.arange(len(p), device=p.device)
    before = torch.where(block > 0, reached[rows, (block - 1).clamp_min(0)], 0.0)
    inside = blocks[rows, block].double().cumsum(1)
    left = torch.minimum(wanted[:, 0] - before, inside[:, -1] * (1 - 1e-15))
    place = torch.searchsorted(inside, left[:, None], right=True)[:, 0].clamp(max=_BLOCK - 1)
    return (block * _BLOCK + place).clamp(max=p.shape[1] - 1)
