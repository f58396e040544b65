"""Random scores: the control that every locator has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from evenhand.core.component import Attribution, Space
from evenhand.core.scenario import Scenario
from evenhand.lm.model import LM


@dataclass(frozen=True)
class Random:
    """Uniform scores between 0 and 1 from a seed; looks at neither model nor cases."""

    space: Space = "neuron"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    def score(self, lm: LM, scenario: Scenario) -> Attribution:
        """Return a random score per unit."""
        layout = lm.layout(self.space)
        scores = torch.rand(layout.size, generator=torch.Generator().manual_seed(self.seed))
        return Attribution(layout, scores, "random", {"seed": self.seed})
