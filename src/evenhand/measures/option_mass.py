"""How much probability the model gives to the offered options at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.measure import Swap
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class OptionMass:
    """Σ over the options of their probability after the prompt; the rest went to other answers.

    A model that gives its options little mass is not answering the question. A case whose sum exceeds 1 is undefined:
    one of its options begins another, or the model is masked and its pseudo-likelihoods are no probabilities.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("choice",)
    comparison: ClassVar[bool] = False
    neutral: ClassVar[float] = math.nan
    range: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    swap: ClassVar[Swap] = "same"
    unit: ClassVar[str] = ""

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return 1 and the mass on the options."""
        logp = readout.arrays["logp"].double()
        mass = logp.exp().nansum(dim=1)
        undefined = ~readout.defined | logp.isnan().all(dim=1) | (mass > 1 + 1e-4)
        return torch.stack([torch.ones_like(mass), mass.clamp(max=1)], 1).masked_fill(undefined[:, None], torch.nan)

    def combine(
        self, stats: Float[Tensor, "case stat"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value`, the mean mass."""
        count, mass = (weights @ stats).unbind(-1)
        return {"value": mass / count}
