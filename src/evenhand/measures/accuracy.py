"""Share of questions answered right: the likeliest option is the right one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.decision import likeliest, on_favourable
from evenhand.core.level import Share
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class Accuracy(Share):
    """Share of cases whose likeliest option is `favourable`; a tie counts by its share, so option order cannot matter.

    Questions of a usefulness test name their right answer as favourable. A case without one is undefined.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("choice",)
    guesses: ClassVar[Mapping[str, float]] = {"value": math.nan}

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return 1 and whether the answer is right."""
        hit = on_favourable(readout, likeliest(readout.arrays["logp"].double()))
        return self.each(hit, ~readout.defined | hit.isnan())
