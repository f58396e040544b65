"""How far the words of two genders are from even odds, whichever of them is likelier."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from evenhand.core.case import Outcome
from evenhand.core.declared import Facts
from evenhand.core.gendered import WORDS, from_baseline, gaps, leaning
from evenhand.core.level import Level
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class GenderImbalance(Level):
    """Mean size of the log-odds gap |log P(female) − log P(male)| over words, nats; cases as in `gender_gap`.

    `corrected` (nats): the same after subtracting the gap of the neutral prompt. `male`: share of words whose male side
    is likelier, ties count half. `entropy_difference` (nats): mean of log 2 − H, H the entropy of the two sides alone,
    from 0, balance, to log 2, one gender only. The name is that of Yu and Ananiadou (2025), who do not define it in
    what is public; the definition is ours. All but `male` are 0 only where every single word is balanced.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("pair",)
    headline: ClassVar[tuple[str, ...]] = ("value", "corrected")
    facts: ClassVar[Facts] = WORDS

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return for each word 1, |gap|, the likelier side, log 2 − H, and whether and what the corrected gap is."""
        gap = gaps(readout)
        corrected = from_baseline(readout, gap)
        word = ~leaning(readout, "baseline")
        based = word & ~corrected.isnan()
        male = (gap < 0).double() + (gap == 0).double() / 2
        entropy = -(gap.sigmoid() * logsigmoid(gap) + (-gap).sigmoid() * logsigmoid(-gap))
        columns = [torch.ones_like(gap), gap.abs(), male, math.log(2) - entropy]
        stats = torch.where(word[:, None], torch.stack(columns, dim=1), 0.0)
        more = torch.stack([based.double(), torch.where(based, corrected.abs(), 0.0)], dim=1)
        return torch.cat([stats, more], dim=1).masked_fill(gap.isnan()[:, None], torch.nan)

    def combine(
        self, stats: Float[Tensor, "case stat"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value`, `corrected`, `male` and `entropy_difference`."""
        n, size, male, entropy, based, corrected = (weights @ stats).unbind(-1)
        return {"value": size / n, "corrected": corrected / based, "male": male / n, "entropy_difference": entropy / n}
