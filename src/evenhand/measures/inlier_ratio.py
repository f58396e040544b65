"""Share of the answers that the unedited model could have given: inside its own 5 %–95 % range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.errors import UsageError
from evenhand.core.level import Share
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class InlierRatio(Share):
    """Share of all answers that lie in [q05, q95] of the unedited model's, all groups pooled, same prompt.

    About 0.90 on the unedited model by construction. A range counts by its midpoint; an answer without a number is an
    outlier, and so is mass left open: a case with more than 1 % open is undefined. The limits are fixed before
    resampling. Undefined without `reference`.
    Source: a public re-implementation of Ma et al. (FAccT 2025), which drops invalid answers instead.
    """

    tail: float = 0.05

    kinds: ClassVar[tuple[Outcome, ...]] = ("number", "pair")

    def __post_init__(self) -> None:
        if not 0 <= self.tail < 0.5:
            raise UsageError(f"inlier_ratio: tail lies in [0, 0.5), not {self.tail}")

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return 1 and the share of a case's answers that are inliers."""
        usual = reference.answered() if reference is not None else None
        low, high = (usual.quantile(self.tail), usual.quantile(1 - self.tail)) if usual else (math.nan, math.nan)
        inside = ((readout.value >= low) & (readout.value <= high)).double()
        mass = readout.sums(torch.ones_like(inside))
        none = torch.zeros_like(mass)
        compared = readout.shares["valid"] + readout.shares.get("range", none)
        share = torch.where(mass > 0, compared * readout.sums(inside) / mass, none)
        searched = readout.shares.get("open", none) <= 0.01
        known = (readout.defined | searched) & (not math.isnan(low))
        return self.each(share, ~known)
