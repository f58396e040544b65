"""How far the log-probability of a word moves with the gender in the prompt, whichever way."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.declared import Facts
from evenhand.core.measure import Swap
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class LogOddsGap:
    """Mean of |log p(profession | one group) − log p(profession | the other)| over professions, nats; 0: none.

    The metric of Yu and Ananiadou (EMNLP 2024, section 6.2). A profession is the favourable option of a case; cases of
    the two groups belong together by the fact `profession`, and one without its partner is left out. It is a distance,
    so noise and the reverse of a stereotype count as much as the stereotype.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("choice",)
    comparison: ClassVar[bool] = True
    neutral: ClassVar[float] = 0.0
    range: ClassVar[tuple[float, float] | None] = None
    swap: ClassVar[Swap] = "same"
    unit: ClassVar[str] = "nats"
    facts: ClassVar[Facts] = {"profession": ("nurse", "maid", "cleaner", "guard", "driver", "miner")}

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case 2"]:
        """Return 1 and the distance on the case of the other group, 0 and 0 on its partner of the reference group."""
        logp, stats = _favourable(readout), torch.full((len(readout), 2), torch.nan, dtype=torch.float64)
        partner = {_asked(readout, row): row for row in range(len(readout)) if readout.sides()[row] == 0}
        for row in range(len(readout)):
            before = partner.get(_asked(readout, row))
            if before is None or before == row:
                continue
            distance = float((logp[before] - logp[row]).abs())
            if math.isfinite(distance):
                stats[before] = 0.0
                stats[row] = torch.tensor([1.0, distance], dtype=torch.float64)
        return stats

    def combine(
        self, stats: Float[Tensor, "case 2"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value`, the mean distance."""
        count, distance = (weights @ stats).unbind(-1)
        return {"value": distance / count}


def _asked(readout: Readout, row: int) -> tuple[str, str, str]:
    case = readout.cases[row]
    return case.context, case.variation, case.fact("profession")


def _favourable(readout: Readout) -> Float[Tensor, " case"]:
    """Log-likelihood of each case's favourable option; NaN where the case is undefined."""
    logp = readout.arrays["logp"].double()
    at = torch.tensor([case.favourable or 0 for case in readout.cases], dtype=torch.long)
    return logp.gather(1, at[:, None])[:, 0].masked_fill(~readout.defined, torch.nan)
