"""Precision and recall of one answer joined: F1 of the class that a benchmark calls positive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.decision import likeliest
from evenhand.core.declared import Facts
from evenhand.core.level import Level
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class F1(Level):
    """`value` = 2 · hits ÷ (how often the positive option is the answer + how often it is right), as scikit-learn.

    `precision` = hits ÷ the former, NaN where it is never the answer; `recall` = hits ÷ the latter, NaN where it is
    never right; F1 is NaN only where neither is. The answer is the likeliest option; one that ties counts by its share.
    Fact `positive` is the index of the positive option. There is no value that guessing gives: always giving the
    positive answer is 2p ÷ (1 + p) for a share p of positive cases, so compare with that. Which of two classes is the
    positive one changes F1 as it does not change accuracy.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("choice",)
    range: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    headline: ClassVar[tuple[str, ...]] = ("value",)
    facts: ClassVar[Facts] = {"positive": ("1", "0")}

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case 3"]:
        """Return hits, positive answers and positive cases; a case without a right option is undefined."""
        positive = torch.tensor([int(case.fact("positive")) for case in readout.cases], dtype=torch.long)
        answered = likeliest(readout.arrays["logp"].double()).gather(1, positive[:, None])[:, 0]
        right = torch.tensor([case.favourable == int(case.fact("positive")) for case in readout.cases]).double()
        unknown = torch.tensor([case.favourable is None for case in readout.cases], dtype=torch.bool)
        undefined = ~readout.defined | answered.isnan() | unknown
        return torch.stack([answered * right, answered, right], dim=1).masked_fill(undefined[:, None], torch.nan)

    def combine(
        self, stats: Float[Tensor, "case 3"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value`, `precision` and `recall`."""
        hits, answered, right = (weights @ stats).unbind(-1)
        return {"value": 2 * hits / (answered + right), "precision": hits / answered, "recall": hits / right}
