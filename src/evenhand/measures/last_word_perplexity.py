"""Perplexity of the right answer, per answer and not per token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.level import Level
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class LastWordPerplexity(Level):
    """exp(−mean over cases of the log-likelihood of the favourable option), a whole word at a time (LAMBADA).

    A word of three tokens counts as one, so tokenizers can be compared. Masked models: pseudo-perplexity.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("choice",)

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return 1 and the log-likelihood (nats) of the favourable option."""
        place = torch.tensor([[case.favourable or 0] for case in readout.cases], dtype=torch.long).reshape(-1, 1)
        named = torch.tensor([case.favourable is not None for case in readout.cases], dtype=torch.bool)
        logp = readout.arrays["logp"].double().gather(1, place)[:, 0]
        undefined = ~readout.defined | ~named | logp.isnan()
        return torch.stack([torch.ones_like(logp), logp], dim=1).masked_fill(undefined[:, None], torch.nan)

    def combine(
        self, stats: Float[Tensor, "case stat"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value`, the perplexity per answer."""
        count, logp = (weights @ stats).unbind(-1)
        return {"value": torch.exp(-logp / count)}
