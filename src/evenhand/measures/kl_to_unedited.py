"""How far next-token predictions moved from the unedited model's on running text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.level import Level
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class KlToUnedited(Level):
    """Kullback–Leibler divergence of the edited model from the unedited one, nats per token.

    The readout must have been made beside the unedited model (array `kl`); undefined otherwise.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("sentence",)
    beside_unedited: ClassVar[bool] = True
    neutral: ClassVar[float] = 0.0
    unit: ClassVar[str] = "nats/token"

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return the divergence (nats) and number of tokens of each text."""
        tokens = readout.arrays["tokens"].double()
        kl = readout.arrays.get("kl", torch.full_like(tokens, math.nan)).double()
        return torch.stack([kl, tokens], dim=1).masked_fill((tokens <= 0)[:, None], torch.nan)

    def combine(
        self, stats: Float[Tensor, "case stat"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value`, the mean divergence per token."""
        kl, tokens = (weights @ stats).unbind(-1)
        return {"value": kl / tokens}
