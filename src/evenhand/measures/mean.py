"""Mean and spread of the answers: of everyone, and of each group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.level import Level
from evenhand.core.moments import medians, moments, sums
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class Mean(Level):
    """Mean answer, in the unit of the outcome; `sd` is the standard deviation over answers."""

    kinds: ClassVar[tuple[Outcome, ...]] = ("number", "choice", "pair", "text")
    headline: ClassVar[tuple[str, ...]] = ("value",)

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return the sums that mean and variance need."""
        known = readout.answered()
        return sums(known, known.value, medians(known, each_group=False))

    def combine(
        self, stats: Float[Tensor, "case stat"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value` and `sd`."""
        of = moments(weights @ stats)
        return {"value": of.mean, "sd": of.variance.sqrt()}
