"""Ratio of group means: how many times as much the reference group gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.measure import Swap
from evenhand.core.moments import by_side, compare, medians, moments, sums
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class RatioOfMeans:
    """Mean of the reference group / mean of the other; undefined unless both are positive."""

    kinds: ClassVar[tuple[Outcome, ...]] = ("number", "choice", "text")
    comparison: ClassVar[bool] = True
    neutral: ClassVar[float] = 1.0
    range: ClassVar[tuple[float, float] | None] = None
    swap: ClassVar[Swap] = "reciprocal"
    unit: ClassVar[str] = ""

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return which group a case is in, and its sums."""
        known = readout.answered()
        return by_side(known, sums(known, known.value, medians(known, each_group=True)))

    def combine(
        self, stats: Float[Tensor, "case stat"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value`, the ratio."""
        a, b = (moments(summed).mean for summed in compare(stats, weights))
        return {"value": torch.where((a > 0) & (b > 0), a / b, torch.nan)}
