"""Switch off randomly chosen units: the control that every method has to beat.

What it does: draws `units` units uniformly from the whole space by seed; `path` draws nested sets, each size the first
units of one random order. It looks at neither the cases nor the utility texts. For a control matched layer by layer to
another edit, use `evenhand.core.select.matched_random` on that edit's selection.

Defaults: 8 units, seed 0, factor 0 (switched off).
Pitfall: one draw is one sample; compare with several seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from evenhand.core.component import Space
from evenhand.core.highest import nested
from evenhand.core.scenario import Scenario
from evenhand.core.select import random
from evenhand.edits.scale import Factor, Mechanism, Scale
from evenhand.lm.model import LM
from evenhand.locate.random import Random as RandomScores


@dataclass(frozen=True)
class Random:
    """A size-matched random edit."""

    space: Space = "neuron"
    units: Annotated[int, Field(ge=1)] = 8
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    factor: Factor = 0.0
    mechanism: Mechanism = "weight"
    """`activation` where the model's weights are offloaded or quantised."""

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> Scale:
        """Return an edit of `units` random units."""
        return self.path(lm, bias, utility, [self.units])[0]

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[Scale]:
        """Return nested random edits of these sizes."""
        if self.space == "weight":  # There are too many to give each a score.
            drawn = random(lm.layout("weight"), sizes, self.seed)
        else:
            drawn = nested(RandomScores(self.space, self.seed).score(lm, bias), sizes)
        return [Scale(selection, self.factor, self.mechanism) for selection in drawn]
