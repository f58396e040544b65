"""Which units carry the gap between groups, by switching each off alone: exact causal scores of chosen candidates.

A unit's score is Σ gap · (gap − gap without it) / Σ |gap| over context × variation × (reference, other group), with the
favourable outcome of `evenhand.lm.attribution.objective` for each case: the quantity that `contrast` (kind `effect`)
gives to first order, measured. Sources: knock-outs of attention heads (Michel et al. 2019, arXiv 1905.10650; head by
head for bias in Zayed et al. 2024, arXiv 2312.15398) and of neurons at the last position by one-token decode (proposed
in our notes on Yu and Ananiadou 2025, arXiv 2501.14457, who name a causal strategy and do not publish it; a
reconstruction).

`positions`: `all` switches the unit off at every token and runs each row again from the unit's block on. `last` does so
only at the last token of the prompt, which predicts the answer: earlier keys and values stay, so the prompt is read
once into the cache, and for each unit one token (with an answer of many tokens those too) runs again from its block on.
The unit's block itself is run again rather than its contribution subtracted, which is exact for norms behind the writer
and for heads, whose own block's MLP sees them. Causal models only, with a prompt (`choice`, `number`).

`candidates`: so many units with the highest first-order scores at the same positions are measured; 0 means every unit
(heads). The other units keep their first-order score, and where it is positive it is scaled down together until none is
above the least positive measured one: estimates never stand before measured carriers, nor behind units that were
measured to hold the gap back. Notes give the number measured and Spearman's correlation of first order and measurement
among them.

Pitfalls: `last` misses units that act where the group is read (the name); units that stand in for each other score low
one by one; knocking out is a change to zero, which the model may never have seen. What a unit does to other text is not
in the score: `evenhand.lm.scoring.texts.score_texts` measures that with the same units as variants, and the guard of
general neurons (`evenhand.lm.attribution.general`) judges it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from evenhand.core.component import Attribution, Selection, Space
from evenhand.core.errors import UsageError
from evenhand.core.overlap import rank_correlation
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.held import exact, first_order, weighted
from evenhand.lm.attribution.knockouts import Positions
from evenhand.lm.model import LM


@dataclass(frozen=True)
class Ablation:
    """Score units by how far switching each off alone closes the gaps, exactly for the likeliest `candidates`."""

    space: Space = "neuron"
    positions: Positions = "all"
    candidates: Annotated[int, Field(ge=0)] = 256
    """Units measured, by first-order score; 0: every unit, without a first-order score."""

    def __post_init__(self) -> None:
        """Refuse single weights."""
        if self.space == "weight":
            raise UsageError(
                "ablation: single weights have no activation; use another space, or locators wanda or snip"
            )

    def score(self, lm: LM, scenario: Scenario) -> Attribution:
        """Return one score per unit, in the unit of the outcome (number: about standard deviations; others: nats)."""
        layout = lm.layout(self.space)
        notes = {"positions": self.positions, "measured": layout.size}
        if not self.candidates:
            measured, gaps = weighted(
                exact(lm, scenario, Selection.of(layout, list(range(layout.size))), self.positions)
            )
            return Attribution(layout, measured, "ablation", notes | {"gaps": gaps})
        guessed, _ = weighted(first_order(lm, scenario, layout, self.positions))
        best = torch.argsort(guessed, descending=True, stable=True)[: self.candidates]
        units = Selection.of(layout, best)
        measured, gaps = weighted(exact(lm, scenario, units, self.positions))
        known = torch.full_like(guessed, torch.nan)
        known[units.units] = measured
        agreement = rank_correlation(Attribution(layout, guessed), Attribution(layout, known))
        notes |= {"measured": len(units), "rank_correlation": agreement, "gaps": gaps}
        return Attribution(layout, _together(guessed, known), "ablation", notes)


def _together(guessed: Float[Tensor, " unit"], known: Float[Tensor, " unit"]) -> Float[Tensor, " unit"]:
    """Measured scores where there are any, else guessed ones, none above the least positive measured one."""
    carriers, open_ = known[known > 0], known.isnan()
    least = float(carriers.min()) if len(carriers) else 0.0
    most = float(guessed[open_].max()) if bool(open_.any()) else 0.0
    scale = least / most if most > least else 1.0
    return torch.where(open_, torch.where(guessed > 0, guessed * scale, guessed), known)
