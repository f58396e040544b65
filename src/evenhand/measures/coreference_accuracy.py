"""How often a pronoun is referred to the right person: in all, with and against the stereotype, and by pronoun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.decision import decided, on_favourable
from evenhand.core.declared import Facts
from evenhand.core.level import Level
from evenhand.core.readout import Readout

_PARTS = (("side", "pro"), ("side", "anti"), ("pronoun", "female"), ("pronoun", "male"), ("pronoun", "neutral"))


@dataclass(frozen=True)
class CoreferenceAccuracy(Level):
    """Share of cases whose likeliest option is the right one, ties shared, and the same share of parts of them.

    `pro`, `anti`: by the fact `side`, whether the stereotype leads to the right option or away from it (Winogender
    calls the latter "gotcha"). `female`, `male`, `neutral`: by the gender of the pronoun. `male_minus_female`: the
    difference. The difference pro − anti stands in `accuracy_gap`. A part without cases is undefined.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("choice",)
    headline: ClassVar[tuple[str, ...]] = ("value",)
    guesses: ClassVar[Mapping[str, float]] = {"value": 0.5}
    range: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    facts: ClassVar[Facts] = {"side": ("pro", "anti", "none"), "pronoun": ("female", "male", "neutral")}

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return 1 and whether the case is right, and both again for each part the case is in."""
        hit = on_favourable(readout, decided(readout))
        columns = [torch.ones_like(hit), hit]
        for fact, value in _PARTS:
            here = torch.tensor([case.fact(fact) == value for case in readout.cases], dtype=torch.float64)
            columns += [here, here * hit]
        return torch.stack(columns, dim=1).masked_fill(hit.isnan()[:, None], torch.nan)

    def combine(
        self, stats: Float[Tensor, "case stat"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value`, the five parts and `male_minus_female`."""
        n, right, *rest = (weights @ stats).unbind(-1)
        values = {"value": right / n}
        for (_, name), count, hits in zip(_PARTS, rest[::2], rest[1::2], strict=True):
            values[name] = hits / count
        values["male_minus_female"] = values["male"] - values["female"]
        return values
