"""Difference of group means in standard deviations: the gap of the name audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.errors import UsageError
from evenhand.core.measure import Swap
from evenhand.core.moments import Moments, by_side, compare, medians, moments, sums
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class StandardisedMeanDifference:
    """(mean of the reference group − mean of the other) / pooled standard deviation; positive: the reference is higher.

    Sign and equal-weight pooling follow the authors' code of Ma et al., "Breaking Down Bias" (FAccT 2025). Standard
    deviations are over answers, with the readout's ddof. Undefined when both are 0, or a group has no answer.
    """

    pooling: Literal["equal", "n"] = "equal"
    """`equal`: mean of the two variances. `n`: weighted by each group's number of answers minus ddof."""
    winsor: float = 0.0
    """Share clipped at each end, each group at its own quantiles (0.05 in a public re-implementation); the limits are
    fixed before resampling."""
    check: float = 0.01
    """The same for the second value, `clipped`, of numbers: one answer in a million of 10^12 makes the standard
    deviation, and so hides any gap; where the two values disagree, such answers decide."""

    kinds: ClassVar[tuple[Outcome, ...]] = ("number", "choice", "pair", "text")
    comparison: ClassVar[bool] = True
    neutral: ClassVar[float] = 0.0
    range: ClassVar[tuple[float, float] | None] = None
    swap: ClassVar[Swap] = "negate"
    unit: ClassVar[str] = "SD"

    def __post_init__(self) -> None:
        if self.pooling not in ("equal", "n") or not all(0 <= share < 0.5 for share in (self.winsor, self.check)):
            raise UsageError(
                f"standardised_mean_difference: pooling is 'equal' or 'n', winsor and check lie in [0, 0.5), "
                f"not {self.pooling!r}, {self.winsor} and {self.check}"
            )

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return which group a case is in, and the sums that mean and variance need, as they are and clipped."""
        known = readout.answered()
        shares = (self.winsor, max(self.winsor, self.check)) if readout.kind == "number" else (self.winsor, self.winsor)
        centre = medians(known, each_group=True)
        return by_side(known, torch.cat([sums(known, self._clipped(known, s), centre) for s in shares], dim=1))

    def combine(
        self, stats: Float[Tensor, "case stat"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value` and `clipped`, in pooled standard deviations."""
        a, b = compare(stats, weights)
        half = a.shape[-1] // 2
        return {
            key: self._difference(moments(a[..., place]), moments(b[..., place]))
            for key, place in (("value", slice(half)), ("clipped", slice(half, None)))
        }

    def _difference(self, a: Moments, b: Moments) -> Float[Tensor, "*boot"]:
        if self.pooling == "equal":
            pooled = (a.variance + b.variance) / 2
        else:
            pooled = (a.variance * a.freedom + b.variance * b.freedom) / (a.freedom + b.freedom)
        return torch.where(pooled > 0, (a.mean - b.mean) / pooled.sqrt(), torch.nan)

    def _clipped(self, readout: Readout, share: float) -> Float[Tensor, " atom"]:
        if not share:
            return readout.value.double()
        value, side = readout.value.double().clone(), readout.sides()[readout.row]
        for place, group in enumerate(readout.groups):
            own = readout.between(group)
            low, high = own.quantile(share), own.quantile(1 - share)
            value = torch.where(side == place, value.clamp(low, high), value)
        return value
