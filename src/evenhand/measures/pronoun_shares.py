"""How a model divides its preference between a female, a male and a neutral version of a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.decision import shares
from evenhand.core.declared import Facts
from evenhand.core.gendered import FEMALE, MALE, NEITHER, SIDES, on_side
from evenhand.core.level import Level
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class PronounShares(Level):
    """Mean share of each side, `female`, `male` and `neutral`, the likelihoods of the versions scaled to sum to 1.

    The fact `sides` says which option is which (f, m, -), as in `gender_gap`. Whole texts differ in likelihood by much
    more than one word's bias where a version changes the verb too: compare models, not pronouns.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("pair",)
    range: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    facts: ClassVar[Facts] = SIDES

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return 1 and the share of each side."""
        each = shares(readout)
        columns = [(each * on_side(readout, side)).sum(dim=1) for side in (FEMALE, MALE, NEITHER)]
        stats = torch.stack([torch.ones(len(readout), dtype=torch.float64), *columns], dim=1)
        return stats.masked_fill(stats.isnan().any(dim=1, keepdim=True), torch.nan)

    def combine(
        self, stats: Float[Tensor, "case stat"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `female`, `male` and `neutral`."""
        n, female, male, neutral = (weights @ stats).unbind(-1)
        return {"female": female / n, "male": male / n, "neutral": neutral / n}
