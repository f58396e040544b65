"""Perplexity of the right answer, per answer and not per token."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.level import FavourableLikelihood


@dataclass(frozen=True)
class LastWordPerplexity(FavourableLikelihood):
    """exp(−mean over cases of the log-likelihood of the favourable option), a whole word at a time (LAMBADA).

    A word of three tokens counts as one, so tokenizers can be compared. Masked models: pseudo-perplexity.
    """

    def combine(
        self, stats: Float[Tensor, "case 2"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value`, the perplexity per answer."""
        return {"value": torch.exp(-self.mean(stats, weights))}
