"""Whether the model keeps to a gender that the text states: what an edit must not destroy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.declared import Facts
from evenhand.core.gendered import SIDES, gaps, log_sides
from evenhand.core.level import Level
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class StatedGender(Level):
    """Share of cases in which the options of the stated gender are likelier together than the others; ties half.

    `gap`: mean log-odds in favour of the stated gender, nats. `neither`: mean of 1 − P(female) − P(male); it must not
    grow (undefined where the sum exceeds 1, as in `gendered_mass`). Facts: `sides` as in `gender_gap`, and `stated`.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("pair",)
    guesses: ClassVar[Mapping[str, float]] = {"value": 0.5}
    range: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    facts: ClassVar[Facts] = {**SIDES, "stated": ("female", "male")}

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return 1, whether the case is right, its log-odds, and whether and what the mass on neither side is."""
        sign = torch.tensor(
            [{"female": 1.0, "male": -1.0}.get(case.fact("stated"), torch.nan) for case in readout.cases]
        )
        towards = gaps(readout) * sign.double()
        right = (towards > 0).double() + (towards == 0).double() / 2
        mass = log_sides(readout).exp().sum(dim=1)
        known = mass <= 1 + 1e-4
        neither = torch.where(known, 1 - mass.clamp(max=1), 0.0)
        stats = torch.stack([torch.ones_like(right), right, towards, known.double(), neither], dim=1)
        return stats.masked_fill(towards.isnan()[:, None], torch.nan)

    def combine(
        self, stats: Float[Tensor, "case stat"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value`, the accuracy, and `gap` and `neither`."""
        n, right, towards, known, neither = (weights @ stats).unbind(-1)
        return {"value": right / n, "gap": towards / n, "neither": neither / known}
