"""What measures that describe cases, rather than compare groups, declare in common."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.declared import Facts
from evenhand.core.measure import Swap
from evenhand.core.readout import Readout


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


class OfFavourable(Level):
    """Something about the favourable option of each case; cases that have none are undefined."""

    kinds: ClassVar[tuple[Outcome, ...]] = ("choice",)

    @staticmethod
    def picked(
        readout: Readout, options: Float[Tensor, "case option"]
    ) -> tuple[Float[Tensor, " case"], Bool[Tensor, " case"]]:
        """Return of each case what `options` holds of the favourable one, and whether that is undefined."""
        place = torch.tensor([[case.favourable or 0] for case in readout.cases], dtype=torch.long).reshape(-1, 1)
        named = torch.tensor([case.favourable is not None for case in readout.cases], dtype=torch.bool)
        found = options.double().gather(1, place)[:, 0]
        return found, ~readout.defined | ~named | found.isnan()


class FavourableLikelihood(OfFavourable):
    """The mean log-likelihood of the favourable option, and what can be made of it."""

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return 1 and the log-likelihood (nats) of the favourable option."""
        logp, undefined = self.picked(readout, readout.arrays["logp"])
        return torch.stack([torch.ones_like(logp), logp], dim=1).masked_fill(undefined[:, None], torch.nan)

    @staticmethod
    def mean(stats: Float[Tensor, "case 2"], weights: Float[Tensor, "*boot case"]) -> Float[Tensor, "*boot"]:
        """Return the mean log-likelihood."""
        count, logp = (weights @ stats).unbind(-1)
        return logp / count
