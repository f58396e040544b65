"""Perplexity on running text."""

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
class Perplexity(Level):
    """exp(−Σ log-likelihood / Σ tokens), every token counted once (pseudo-perplexity for masked models).

    A text without tokens is undefined.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("sentence",)

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return the log-likelihood (nats) and number of tokens of each text."""
        logp, tokens = readout.arrays["logp"].double(), readout.arrays["tokens"].double()
        undefined = ~readout.defined | (tokens <= 0)
        return torch.stack([logp, tokens], dim=1).masked_fill(undefined[:, None], torch.nan)

    def combine(
        self, stats: Float[Tensor, "case stat"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value`, the perplexity."""
        logp, tokens = (weights @ stats).unbind(-1)
        return {"value": torch.exp(-logp / tokens)}
