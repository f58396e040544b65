"""How much the model's own answer leans on each unit: |activation · gradient| of its negative log-likelihood.

Source: Wei et al. 2024 (arXiv 2402.05162) after SNIP (Lee et al. 2019), per unit instead of per weight: the absolute
value is taken for each sample and then averaged. A unit's gate m (1 = on, 0 = off) has the gradient dL/dm = Σ a·g over
tokens and columns. For heads this is the head importance of Michel et al. 2019 (arXiv 1905.10650).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from evenhand.core.component import Attribution, Space
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.lm.answers import answer_rows
from evenhand.lm.model import LM
from evenhand.lm.trace import trace


@dataclass(frozen=True)
class Snip:
    """Score units by mean over cases of |Σ_tokens a·dL/da|, L = mean negative log-likelihood of the model's own answer.

    The answer is the unedited model's greedy one (numbers, text), its likelier option (`choice`), its likelier sentence
    (`pair`), or the text itself (`sentence`).
    """

    space: Space = "neuron"

    def score(self, lm: LM, scenario: Scenario) -> Attribution:
        """Return one score per unit, in nats per token, never negative."""
        if not scenario.cases:
            raise UsageError(f"scenario {scenario.name!r} has no cases to score")
        layout = lm.layout(self.space)
        sums = [torch.zeros(site.units, dtype=torch.float64) for site in layout.sites]
        for batch in trace(lm, answer_rows(lm, scenario), layout, gradients=True):
            for total, site in zip(sums, layout.sites, strict=True):
                total += batch.effect(site).abs().double().sum(0).cpu()
            del batch  # so that two batches are never held at once
        return Attribution(layout, (torch.cat(sums) / len(scenario.cases)).float(), "snip")
