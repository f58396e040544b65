"""How much likelier female words are than male ones: the signed log-odds gap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.declared import Facts
from evenhand.core.gendered import WORDS, from_baseline, gaps, leaning
from evenhand.core.level import Level
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class GenderGap(Level):
    """Mean of log P(female) − log P(male) over words, nats; P is the sum over the options of one side.

    The fact `sides` says which options are female (f), male (m) or neither (-), `leaning` the stereotype of the word;
    a case of leaning `baseline` is the neutral prompt of its context and variation, and no word. `corrected` subtracts
    the gap of that prompt, since models prefer one gender anyway. `stereotyped` is the mean gap of words of female
    leaning less that of words of male leaning: positive where the model follows the stereotype.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("pair",)
    headline: ClassVar[tuple[str, ...]] = ("value", "corrected")
    neutral: ClassVar[float] = 0.0
    unit: ClassVar[str] = "nats"
    facts: ClassVar[Facts] = WORDS

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return counts and gaps of all words, of those with a neutral prompt, and of those of each leaning."""
        gap = gaps(readout)
        corrected = from_baseline(readout, gap)
        word = ~leaning(readout, "baseline")
        columns: list[Tensor] = []
        for value, counted in (
            (gap, word),
            (corrected, word & ~corrected.isnan()),
            (gap, leaning(readout, "female")),
            (gap, leaning(readout, "male")),
        ):
            columns += [counted.double(), torch.where(counted, value, 0.0)]
        return torch.stack(columns, dim=1).masked_fill(gap.isnan()[:, None], torch.nan)

    def combine(
        self, stats: Float[Tensor, "case stat"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value`, `corrected` and `stereotyped`."""
        n, gap, based, corrected, n_female, female, n_male, male = (weights @ stats).unbind(-1)
        return {"value": gap / n, "corrected": corrected / based, "stereotyped": female / n_female - male / n_male}
