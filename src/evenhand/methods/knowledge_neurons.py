"""Switch off the few neurons that most prompts of a fact share by integrated gradients (knowledge neurons).

Paper: Dai, Dong, Hao, Sui, Chang, Wei, "Knowledge Neurons in Pretrained Transformers", ACL 2022 (long.581); for bias,
the difference of two attributions, IG² (theNamek/Bias-Neurons, ICLR 2024), whose neurons are set to 0 as well.

What it does: `locate/integrated_gradients` gives every prompt an attribution. (1) Of each prompt the units with at
least `threshold` of its largest attribution are kept. (2) Of a fact those that at least `share` of its prompts keep;
the share is moved by 0.05, for all facts of a relation together, until they have `fewest` to `most` units on average.
(3) Of a relation those that at least `relation` of its facts have. These are switched off, of all relations together.

What these are in a scenario: a *prompt* is a case (the question with one name in it), a *fact* one variation of one
context (the question itself), a *relation* the context. In the paper a fact is said in several wordings; here it is
said of several people. Facts with fewer than `prompts` prompts are left out.

`mode = "paper"`: attribution of the probability of the favourable option, 20 left Riemann steps from zero where the
answer is predicted. The units carry the answer for whomever it is given, not the gap. `mode = "gap"`, the default: a
fact is that the reference group is ahead (or behind) in this question, one for each other group; the attribution of a
prompt is what it adds to that: its own minus the mean of the other group's if it is of the group ahead, the other way
round if not, of the favourable outcome in nats, with 8 Gauss–Legendre nodes.

Defaults, the paper's: threshold 0.2, share 0.7, 2 to 5 units per fact, relation 0.1, at least 3 prompts. `steps` is the
mode's. `baseline` is zero; where a norm stands behind the writer (Gemma 2 and 3) that means nothing, and it is the mean
(`locate/integrated_gradients`). `path` does not refine: it returns the n units of the highest mean attribution.

Differs from the paper: answers of several tokens, and no filter of prompts that the model answers wrongly. Where one
share gives more than `most` units and the next fewer than `fewest`, it is the one that gives more.
Pitfalls: the paper's erasure is not specific: in a public replication on bert-base only 3 of 9 relations were hurt more
than other relations, so look at other contexts; with fewer than 10 facts in a relation step 3 keeps whatever any fact
has; thresholds are relative, so a fact without a gap has its units, too; where the path runs (the last position) the
name may be long past.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from evenhand.core.component import Selection, Space
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.core.select import top
from evenhand.edits.scale import Factor, Mechanism, Scale
from evenhand.lm.attribution.integrated import Integrated
from evenhand.lm.model import LM
from evenhand.locate.integrated_gradients import Baseline, IntegratedGradients, contrasts

Share = Annotated[float, Field(gt=0, le=1)]
_NAME = "knowledge_neurons"
_STEPS = 20
"""Shares are moved by one part of so many."""


@dataclass(frozen=True)
class KnowledgeNeurons:
    """The units that most prompts of a fact lean on, switched off."""

    space: Space = "neuron"
    mode: Literal["gap", "paper"] = "gap"
    threshold: Share = 0.2
    share: Share = 0.7
    fewest: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0
    most: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 5.0
    relation: Share = 0.1
    prompts: Annotated[int, Field(ge=1)] = 3
    steps: Annotated[int, Field(ge=1)] | None = None
    """Of the path; None: 20 in mode `paper`, 8 in mode `gap`."""
    baseline: Baseline = "auto"
    factor: Factor = 0.0
    mechanism: Mechanism = "weight"
    """`activation` where the model's weights are offloaded or quantised."""

    def __post_init__(self) -> None:
        """Refuse a range that no number lies in."""
        if self.fewest > self.most:
            raise UsageError(f"knowledge_neurons: fewest ({self.fewest:g}) is more than most ({self.most:g})")

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> Scale:
        """Return the refined neurons' edit; raises UsageError where no fact has enough prompts."""
        relations: dict[str, list[Tensor]] = {}
        few: list[str] = []
        for part, found in self._scores.each(lm, bias, _NAME):
            if len(part.cases) < self.prompts:
                few.append(f"{part.cases[0].context}/{part.cases[0].variation}")
                continue
            relations.setdefault(part.cases[0].context, []).extend(self._facts(part, found))
        if not relations:
            raise UsageError(
                f"knowledge_neurons: no variation has {self.prompts} cases; give more names, or lower `prompts`"
            )
        if few:
            lm.notify(f"knowledge_neurons: {len(few)} variations have fewer than {self.prompts} cases, as {few[0]}")
        chosen = torch.zeros(lm.layout(self.space).size, dtype=torch.bool)
        for facts in relations.values():
            held = refined(torch.stack(facts), self.share, self.fewest, self.most)
            chosen |= held.float().mean(0) >= self.relation - 1e-6
        if not chosen.any():
            lm.notify("knowledge_neurons: the prompts have no unit in common; lower `threshold`, or give more prompts")
        return self._edit(Selection.where(lm.layout(self.space), chosen))

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[Scale]:
        """Return for each size the units of the highest mean attribution."""
        scores = self._scores.score(lm, bias, _NAME)
        return [self._edit(top(scores, count=size)) for size in sizes]

    @property
    def _scores(self) -> IntegratedGradients:
        if self.mode == "paper":
            return IntegratedGradients(self.space, "answer", "riemann", self.steps or 20, self.baseline)
        return IntegratedGradients(self.space, steps=self.steps or 8, baseline=self.baseline)

    def _edit(self, selection: Selection) -> Scale:
        return Scale(selection, self.factor, self.mechanism)

    def _facts(self, part: Scenario, found: Integrated) -> list[Float[Tensor, " unit"]]:
        """For each fact of a variation, by which share of its prompts each unit is kept."""
        if self.mode == "paper":
            return [self._kept(found.scores)]
        groups = [case.group for case in part.cases]
        facts: list[Tensor] = []
        for other, (gap, _) in contrasts(part, found).items():
            ahead, behind = (part.groups[0], other) if gap > 0 else (other, part.groups[0])
            ours, theirs = (found.scores[[i for i, g in enumerate(groups) if g == s]] for s in (ahead, behind))
            facts.append(self._kept(torch.cat([ours - theirs.mean(0), ours.mean(0) - theirs])))
        return facts

    def _kept(self, scores: Float[Tensor, "prompt unit"]) -> Float[Tensor, " unit"]:
        least = self.threshold * scores.amax(1, keepdim=True)
        return ((scores >= least) & (scores > 0)).float().mean(0)


def refined(kept: Float[Tensor, "fact unit"], share: float, fewest: float, most: float) -> Bool[Tensor, "fact unit"]:
    """Return the units kept by a share of each fact's prompts, which is moved until facts have so many on average.

    The share is taken to the nearest 0.05.
    """

    def held(step: int) -> Bool[Tensor, "fact unit"]:
        return kept >= step / _STEPS - 1e-6

    def mean(step: int) -> float:
        return float(held(step).sum(1).float().mean())

    step = max(1, round(share * _STEPS))
    while mean(step) > most and step < _STEPS:
        step += 1
    while mean(step) < fewest and step > 1:
        step -= 1
    return held(step)
