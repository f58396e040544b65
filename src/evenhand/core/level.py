"""What measures that describe cases, rather than compare groups, declare in common."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from evenhand.core.declared import Facts
from evenhand.core.measure import Swap


class Level:
    """A level of any size: it has no neutral value, and the groups of its cases play no part."""

    comparison: ClassVar[bool] = False
    neutral: ClassVar[float] = math.nan
    range: ClassVar[tuple[float, float] | None] = None
    swap: ClassVar[Swap] = "same"
    unit: ClassVar[str] = ""
    facts: ClassVar[Facts] = {}
    examples: ClassVar[tuple[str, ...]] = ()


class Share(Level):
    """A share of something in each case, averaged over cases; every case counts the same."""

    range: ClassVar[tuple[float, float] | None] = (0.0, 1.0)

    @staticmethod
    def each(share: Float[Tensor, " case"], undefined: Bool[Tensor, " case"]) -> Float[Tensor, "case 2"]:
        """Return what `combine` adds up: 1 and the share of each case, NaN where that is undefined."""
        return torch.stack([torch.ones_like(share), share], dim=1).masked_fill(undefined[:, None], torch.nan)

    def combine(self, stats: Float[Tensor, "case 2"], weights: Float[Tensor, "*boot case"]) -> dict[str, Tensor]:
        """Return `value`, the mean share."""
        count, share = (weights @ stats).unbind(-1)
        return {"value": share / count}
