"""Share of questions answered right: the likeliest option is the right one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.level import Share
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class Accuracy(Share):
    """Share of cases whose likeliest option is `favourable`; a tie counts by its share, so option order cannot matter.

    Questions of a usefulness test name their right answer as favourable. A case without one is undefined.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("choice",)

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return 1 and whether the answer is right."""
        logp = readout.arrays["logp"].double()
        right = torch.tensor([math.nan if c.favourable is None else c.favourable for c in readout.cases]).double()
        best = logp == logp.nan_to_num(nan=-math.inf).amax(dim=1, keepdim=True)
        hit = best.gather(1, right.nan_to_num().long()[:, None])[:, 0].double() / best.sum(dim=1)
        undefined = ~readout.defined | right.isnan() | (best.sum(dim=1) == 0)
        return self.each(hit, undefined)
