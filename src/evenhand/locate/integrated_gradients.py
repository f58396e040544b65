"""How much of an outcome each unit carries as its layer is turned on step by step (integrated gradients).

Papers: knowledge neurons (Dai et al., ACL 2022, long.581); integrated gradients (Sundararajan et al. 2017, arXiv
1703.01365); for bias, the difference of two attributions (IG², theNamek/Bias-Neurons, ICLR 2024).

What it does: the activations w that one layer hands to its MLP's last matrix (after activation and gate) are moved from
a baseline b to what they are; all after the layer is recomputed, every other layer moves by itself:

    attr_i = (w_i − b_i) · ∫₀¹ ∂F(b + α (w − b))/∂w_i dα ,     Σ_i attr_i = F(w) − F(b) in each layer

`target = "favourable"`: F is the favourable outcome in nats (`evenhand.lm.attribution.objective`), and a score is what
`contrast` makes of activation × gradient: Σ gap · (mean attr of the reference − mean attr of the other group) / Σ |gap|
over context × variation × other group. This is IG² with groups instead of two target words, gaps weighing as much as
they are wide. `target = "answer"` is the published score: F is the probability of the case's favourable (right) option,
the product over its tokens, each given those before it; a score is the mean over cases.

Defaults: 8 Gauss–Legendre nodes, baseline zero, where the target is predicted. As published: `target = "answer"`,
`rule = "riemann"`, `steps = 20` (left sum, α = k/20 for k = 0 … 19). `baseline = "mean"` starts from the mean
activation over the same places of all the scenario's prompts. `baseline = "auto"`, the default, is zero but where a
norm stands between the writer and the stream (Gemma 2 and 3): there it is the mean, the user is told, and "zero" is
refused. Such a norm undoes α, so that F jumps at zero and is flat after it: what a path from zero gives there is not
small, it is meaningless (neurons of a random Gemma 2: attributions miss their sum by 100 % with 8 nodes, 50 to 250
times over with 20 left steps; from the mean by at most 5 and 11 %).

Notes of the attribution: per layer the largest and the mean |Σ attr − (F(w) − F(b))| over cases, and the mean as a
share of the mean |F(w) − F(b)|; the baseline in use; and the gaps. Beyond a tenth the user is told.

Differs from the paper: an answer of several tokens is read with its own tokens before it, never with the model's
likeliest ones, and one that the tokenizer cannot write is an error, not the unknown token; its path runs at all places
where a token of it is predicted, together. A T5 encoder predicts nothing: there it runs everywhere. `tokens = "all"`
does so in every layer, which also finds units that work where the name stands, not where the answer is given.
Pitfalls: an answer that is certain has no gradient at w, which is why the path, not its end, is looked at, but a long
one has a probability next to 0 and so have all scores; layers are no shares of one sum, each adds up to its own F(w) −
F(b); left sums of few steps miss that by several per cent. Where a layer writes most of what the next norm sees (often
the first), F bends sharply near zero and few nodes miss the sum: on the planted model's loans layer 0 by 560 % with 8
nodes, 27 % with 64 (the user is told), and it holds 5 of the first 6 units with either, where nothing was planted: far
from any input the path scores what the layer does at all. `contrast` and a mean baseline find more there.
One score per case and unit of a variation is held in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from evenhand.core.component import Attribution, Layout, Space
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.integrated import Integrated, completeness, integrate
from evenhand.lm.attribution.objective import cells, favourable_rows
from evenhand.lm.attribution.paths import Path, Rule, Where, mean_inputs
from evenhand.lm.attribution.rows import Row, continuation_rows
from evenhand.lm.batches.tail import norm_behind
from evenhand.lm.model import LM
from evenhand.lm.tokens import render

Target = Literal["favourable", "answer"]
Baseline = Literal["auto", "zero", "mean"]
_NAME = "integrated_gradients"
_MISSED = 0.1
"""Beyond such a share the user is told that a layer's attributions do not add up."""


@dataclass(frozen=True)
class IntegratedGradients:
    """Score units by their integrated gradients, contrasted between groups or of the right answer's probability."""

    space: Space = "neuron"
    """`neuron`, or the attention's `head` or `value`."""
    target: Target = "favourable"
    rule: Rule = "gauss"
    steps: Annotated[int, Field(ge=1)] = 8
    baseline: Baseline = "auto"
    """`auto`: zero, but the mean where a norm behind the writer makes nothing of a path from zero."""
    tokens: Where = "last"

    def score(self, lm: LM, scenario: Scenario, asked: str = _NAME) -> Attribution:
        """Return one score per unit, in the unit of the outcome (nats, or probability); `asked` as in `each`."""
        layout = lm.layout(self.space)
        total, weight = torch.zeros(layout.size, dtype=torch.float64), 0.0
        gaps: dict[str, float] = {}
        checks: list[tuple[Tensor, Tensor]] = []
        for part, found in self.each(lm, scenario, asked):
            checks.append((found.error, found.moved))
            if self.target == "answer":
                total += found.scores.sum(0, dtype=torch.float64)
                weight += len(part.cases)
                continue
            for other, (gap, carried) in contrasts(part, found).items():
                total += gap * carried
                weight += abs(gap)
                gaps[f"{part.cases[0].context}/{part.cases[0].variation}/{other}"] = gap
        complete = _complete(layout, checks)
        notes = {**asdict(self), "baseline": self._start(lm, layout), "gaps": gaps, "completeness": complete}
        return Attribution(layout, (total / weight if weight else total).float(), _NAME, notes)

    def each(self, lm: LM, scenario: Scenario, asked: str = _NAME) -> Iterator[tuple[Scenario, Integrated]]:
        """Yield each variation of each context with the attributions of its cases, in their order.

        `lm.notify` is told, with `asked` before it, of a baseline that had to be the mean and, after the last, of
        layers whose attributions miss their sum. Raises UsageError for cases without such an outcome and for a zero
        baseline behind which a norm stands, Unscorable for an option that no tokens can write.
        """
        layout = lm.layout(self.space)
        baseline = self._start(lm, layout)
        if self.baseline == "auto" and baseline == "mean":
            lm.notify(f"{asked}: a norm behind the writers makes nothing of a zero baseline; the mean is used")
        parts = [*cells(scenario)] if self.target == "favourable" else _variations(scenario)
        rows = [favourable_rows(lm, part) if self.target == "favourable" else _answers(lm, part) for part in parts]
        path = Path(self.rule, self.steps, self.tokens, "log" if self.target == "favourable" else "probability")
        if baseline == "mean":
            path = replace(path, baseline=mean_inputs(lm, [row for few in rows for row in few], layout, path))
        checks: list[tuple[Tensor, Tensor]] = []
        for part, few in zip(parts, rows, strict=True):
            found = integrate(lm, few, layout, path)
            checks.append((found.error, found.moved))
            yield part, found
        _warn(lm, _complete(layout, checks), baseline, asked)

    def _start(self, lm: LM, layout: Layout) -> Literal["zero", "mean"]:
        """Return the baseline in use."""
        if self.baseline == "mean" or all(norm_behind(lm, site) is None for site in layout.sites):
            return "mean" if self.baseline == "mean" else "zero"
        if self.baseline == "zero":
            raise UsageError(
                f"{lm.identity.source}: a norm stands behind the writers and undoes the scale of what they write, so "
                "integrated gradients from a zero baseline mean nothing here; use baseline 'mean' (or 'auto')"
            )
        return "mean"


def contrasts(part: Scenario, found: Integrated) -> dict[str, tuple[float, Float[Tensor, " unit"]]]:
    """Return for each group but the reference how far the reference is ahead of it, and what units add to that."""
    sides = {
        group: torch.tensor([case.group == group for case in part.cases])
        for group in dict.fromkeys(case.group for case in part.cases)
    }
    outcome = {group: float(found.value[side].mean()) for group, side in sides.items()}
    carried = {group: found.scores[side].mean(0, dtype=torch.float64) for group, side in sides.items()}
    reference = part.groups[0]
    return {
        group: (outcome[reference] - outcome[group], carried[reference] - carried[group])
        for group in sides
        if group != reference
    }


def _complete(layout: Layout, checks: Sequence[tuple[Tensor, Tensor]]) -> dict[str, dict[str, float]]:
    error, moved = (torch.cat(each) for each in zip(*checks, strict=True))
    return completeness(layout, error, moved)


def _warn(lm: LM, complete: dict[str, dict[str, float]], baseline: str, asked: str) -> None:
    missed = {path: each["relative"] for path, each in complete.items() if each["relative"] > _MISSED}
    if not missed:
        return
    worst = max(missed, key=missed.__getitem__)
    cures = ["more `steps`", *(["baseline 'mean'"] if baseline == "zero" else [])]
    if lm.identity.dtype != "float32":
        cures.append("float32")
    lm.notify(
        f"{asked}: in {len(missed)} of {len(complete)} layers attributions miss their sum by more than {_MISSED:.0%} "
        f"(by {missed[worst]:.0%} in {worst}), so these cannot be trusted; try {' or '.join(cures)}"
    )


def _variations(scenario: Scenario) -> list[Scenario]:
    if not scenario.cases:
        raise UsageError(f"scenario {scenario.name!r} has no cases to score")
    return [
        scenario.where(lambda case, x=context.name, v=variation: case.context == x and case.variation == v)
        for context in scenario.contexts
        for variation in scenario.variations(context.name)
    ]


def _answers(lm: LM, part: Scenario) -> list[Row]:
    """One outcome per case: the log-likelihood of its right option."""
    context = part.contexts[0]
    if context.outcome != "choice":
        raise UsageError(
            f"context {context.name!r}: outcome {context.outcome!r} has no answer of a few tokens whose probability "
            "could be taken; use target 'favourable'"
        )
    rows: list[Row] = []
    for i, case in enumerate(part.cases):
        if case.favourable is None:
            raise UsageError(f"case {case.id!r} says of no option that it is the right or favourable one")
        rows += continuation_rows(lm, i, render(lm, case), [case.options[case.favourable]], [1.0])
    return rows
