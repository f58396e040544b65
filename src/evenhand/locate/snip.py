"""How much the model's own answer leans on each unit or weight: |value · gradient| of its negative log-likelihood.

Source: Wei et al. 2024 (arXiv 2402.05162) after SNIP (Lee et al. 2019): the absolute value is taken for each sample and
then averaged. A weight's score is |W| · mean |dL/dW|. A unit's gate m (1 = on, 0 = off) has the gradient dL/dm = Σ a·g
over tokens and columns; for heads this is the head importance of Michel et al. 2019 (arXiv 1905.10650).

Scores of weights are made one matrix at a time: what goes into a group of matrices and the gradients of what comes out
are kept, never the gradients of all weights. Every pass over them runs the model again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.component import Attribution, Site, Space
from evenhand.core.entries import MatrixScores
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.answers import answer_rows
from evenhand.lm.attribution.rows import Row
from evenhand.lm.attribution.trace import trace
from evenhand.lm.attribution.weights import absolute_gradients, matrix
from evenhand.lm.model import LM


@dataclass(frozen=True)
class Snip:
    """Score units by mean over cases of |Σ_tokens a·dL/da|, L = mean negative log-likelihood of the model's own answer.

    Of space `weight`: |W · dL/dW|, averaged the same way. The answer is the unedited model's greedy one (numbers,
    text), its likelier option (`choice`), its likelier sentence (`pair`), or the text itself (`sentence`).
    """

    space: Space = "neuron"

    def score(self, lm: LM, scenario: Scenario) -> Attribution | MatrixScores:
        """Return one score per unit, in nats per token, never negative."""
        if self.space == "weight":
            return self.of_weights(lm, scenario)
        rows, layout = _rows(lm, scenario), lm.layout(self.space)
        sums = [torch.zeros(site.units, dtype=torch.float64) for site in layout.sites]
        for batch in trace(lm, rows, layout, gradients=True):
            for total, site in zip(sums, layout.sites, strict=True):
                total += batch.effect(site).abs().double().sum(0).cpu()
            del batch  # so that two batches are never held at once
        return Attribution(layout, (torch.cat(sums) / len(scenario.cases)).float(), "snip")

    def of_weights(self, lm: LM, scenario: Scenario) -> MatrixScores:
        """Return one score per weight, whatever the space, in nats per token, never negative."""
        rows, cases = _rows(lm, scenario), len(scenario.cases)

        def stream(sites: Sequence[Site]) -> Iterator[Float[Tensor, "_out _in"]]:
            for site, gradients in zip(sites, absolute_gradients(lm, rows, sites), strict=True):
                yield gradients.mul_(matrix(lm, site.path).abs()).div_(cases)

        return MatrixScores(lm.layout("weight"), stream, "snip")


def _rows(lm: LM, scenario: Scenario) -> list[Row]:
    if not scenario.cases:
        raise UsageError(f"scenario {scenario.name!r} has no cases to score")
    return answer_rows(lm, scenario)
