"""How far answers must be moved to turn one group's distribution into the other's (1-D Wasserstein distance)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.measure import Swap
from evenhand.core.moments import by_side, compare
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class EarthMoversDistance:
    """∫ |F_reference(x) − F_other(x)| dx, in the unit of the outcome.

    The statistics of a case are its mass and its cumulative distribution on the pooled, sorted support, each step
    times its width: the distance is then a function of weighted sums. The support is fixed before resampling.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("number", "choice", "pair", "text")
    comparison: ClassVar[bool] = True
    neutral: ClassVar[float] = 0.0
    range: ClassVar[tuple[float, float] | None] = None
    swap: ClassVar[Swap] = "same"
    unit: ClassVar[str] = ""

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return which group a case is in, its mass, and its cumulative mass × width at every step of the support."""
        known = readout.answered()
        ordered = known.value.double().sort().values
        grid = ordered[ordered.diff(prepend=torch.full((1,), -math.inf, dtype=torch.float64)) > 0]
        place = torch.searchsorted(grid, known.value.double())
        at = torch.zeros(len(known), max(1, len(grid)), dtype=torch.float64)
        at.index_put_((known.row, place), known.mass.double(), accumulate=True)
        reached = at.cumsum(dim=1)
        columns = torch.cat([reached[:, -1:], reached[:, :-1] * grid.diff()], dim=1)
        undefined = ~known.defined | (columns[:, 0] <= 0)
        return by_side(known, columns.masked_fill(undefined[:, None], torch.nan))

    def combine(
        self, stats: Float[Tensor, "case stat"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value`, the distance."""
        a, b = compare(stats, weights)
        apart = (a[..., 1:] / a[..., :1] - b[..., 1:] / b[..., :1]).abs().sum(-1)
        return {"value": torch.where((a[..., 0] > 0) & (b[..., 0] > 0), apart, torch.nan)}
