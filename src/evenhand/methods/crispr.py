"""Switch off bias neurons: the units that push most towards a wrong answer, as many as answering right wants.

Source: Yang et al. 2024 (CRISPR; ACL 2024, long.490). Units are ordered by `locate/crispr.py`, whose card holds the
formulas of `mode`, `tokens`, `clamp`, `strength`, `weight` and `batch_size`; the first n are switched off: of a row its
weights and its bias. Nothing is trained. Every variation of a question is one of the synonymous instructions.

How many (`search`), always by accuracy, with options scored and not generated:

- `sweep` (default): the questions are dealt, by whole clusters, into a half that units are scored on and a half that n
  is chosen on, for 0, 1, 2, 4, … `most`, which are nested and evaluated side by side in one batch. The smallest n is
  taken whose accuracy is at most one standard error (of the paired difference, over clusters) below the best.
- `golden`: as in the published code, the golden section of [0, `most`] for the best accuracy, and every n inside the
  last four; units and n are drawn from the same questions (`choosing = None` for all of them, as published). Accuracy
  is not unimodal in n, and a single question decides between neighbours: prefer the sweep.
- `none`: `units` of them.

In a study sizes are chosen on the study's own choose part, through `path`; for accuracy, set its `goal`.

`instances` questions, drawn by `seed`, are scored in every instruction (20, as published, which reports the choice
stable from 10). n is chosen on `choosing` questions (200; the published code takes its whole development set), each
asked in every instruction for every n. None: all there are. Published n for Flan-T5 base, BBQ: 11 (SES), 170 (Age), of
227,328 rows.

Where we differ: the paper took n from a sweep it does not describe, on the development set it scored units on; here
the two are parted. To evaluate by generated answers, measure the edit on a scenario that asks for text, such as
`bbq_instructions_answers`.

Pitfalls: what is raised is accuracy, not fairness: half of BBQ's questions are right to be answered "cannot be
determined", so look at ambiguous and disambiguated questions apart, at `bbq_bias`, and at the damage to other text; n
at the end of its range says that the range was too small; wrong answers of a scenario that names groups but no right
answer are those that are not `favourable`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from evenhand.core.case import Case
from evenhand.core.component import Attribution, Space
from evenhand.core.scenario import Scenario
from evenhand.core.select import top
from evenhand.edits.scale import Mechanism, Scale
from evenhand.lm.attribution.outputs import Tokens
from evenhand.lm.batches.variants import Variant
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import check_scored, score_options
from evenhand.locate.crispr import Clamp, Mode, check_asked
from evenhand.locate.crispr import Crispr as Scores

Count = Annotated[int, Field(ge=1)]
_GOLDEN = (math.sqrt(5) - 1) / 2
_LAST = 4
"""Width of the interval inside which the published code tries every number."""


@dataclass(frozen=True)
class Crispr:
    """The units that push most towards the most probable wrong answer and do not serve the right one."""

    space: Space = "row"
    mode: Mode = "paper"
    search: Literal["sweep", "golden", "none"] = "sweep"
    units: Count = 11
    most: Count = 500
    instances: Count | None = 20
    choosing: Count | None = 200
    tokens: Tokens = "max"
    clamp: Clamp | None = None
    strength: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    weight: bool = True
    batch_size: Count = 4
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    mechanism: Mechanism = "weight"
    """`activation` where the model's weights are offloaded or quantised."""

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> Scale:
        """Return the edit of as many units as `search` finds; `utility` is not looked at.

        `lm.notify` is told the number and the accuracies it was chosen by. Raises UsageError for cases that are not
        questions with a right answer, and with `sweep` where there are too few clusters to part them.
        """
        check_asked(bias)
        if self.search == "none":
            return self._edit(self._scores(lm, bias), self.units)
        sweep = self.search == "sweep"
        parts = [bias.part(part, self.seed, (1, 1, 0)) for part in ("fit", "choose")] if sweep else [bias, bias]
        found = self._scores(lm, parts[0])
        answers = Answers(lm, self._drawn(parts[1], self.choosing).cases, found)
        most = min(self.most, found.layout.size)
        n = smallest(answers, doubling(most)) if sweep else golden_section(answers, most)
        lm.notify(
            f"crispr: {n} of at most {most} units, by accuracy on {len(answers.cases)} cases: "
            f"{answers.accuracy(0):.4f} without the edit, {answers.accuracy(n):.4f} with it"
            + ("; the end of the range, so more units may do better" if n == most else "")
        )
        return self._edit(found, n)

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[Scale]:
        """Return the first n units of one order, for each n in `sizes`."""
        found = self._scores(lm, bias)
        return [self._edit(found, n) for n in sizes]

    def _scores(self, lm: LM, bias: Scenario) -> Attribution:
        locator = Scores(self.space, self.mode, self.tokens, self.clamp, self.strength, self.weight, self.batch_size)
        return locator.score(lm, self._drawn(bias, self.instances))

    def _drawn(self, bias: Scenario, count: int | None) -> Scenario:
        """So many of the questions, each in all its variations."""
        questions = list(dict.fromkeys(_question(case) for case in bias.cases))
        if count is None or len(questions) <= count:
            return bias
        kept = set(random.Random(self.seed).sample(questions, count))
        return bias.where(lambda case: _question(case) in kept)

    def _edit(self, found: Attribution, n: int) -> Scale:
        return Scale(top(found, n), 0.0, self.mechanism)


def _question(case: Case) -> tuple[str, str]:
    """What a case asks, whichever way it is put: its id without its variation."""
    return case.context, case.id.removesuffix(f"/{case.variation}")


class Answers:
    """Which cases are answered right with the first n units of an order switched off; each n is asked once."""

    def __init__(self, lm: LM, cases: Sequence[Case], found: Attribution) -> None:
        self.lm, self.cases, self.found = lm, cases, found
        self.hits: dict[int, Float[Tensor, " case"]] = {}
        clusters = list(dict.fromkeys((case.context, case.group, case.cluster) for case in cases))
        self.cluster = torch.tensor([clusters.index((case.context, case.group, case.cluster)) for case in cases])

    def ask(self, sizes: Sequence[int]) -> None:
        """Answer with each of these numbers of units, side by side in one batch."""
        new = [n for n in dict.fromkeys(sizes) if n not in self.hits]
        variants = [Variant(top(self.found, n)) if n else None for n in new]
        if not new:
            return
        for n, scores in zip(new, score_options(self.lm, self.cases, variants), strict=True):
            right = [_right(c, s) for c, s in zip(self.cases, check_scored(self.cases, scores), strict=True)]
            self.hits[n] = torch.tensor(right, dtype=torch.float64)

    def accuracy(self, n: int) -> float:
        """Return the share of right answers with the first n units switched off."""
        self.ask([n])
        return float(self.hits[n].mean())

    def standard_error(self, n: int, other: int) -> float:
        """Return the standard error of the difference in accuracy, over clusters; 0 with a single one."""
        difference = self.hits[n] - self.hits[other]
        centred = difference - difference.mean()
        sums = torch.zeros(int(self.cluster.max()) + 1, dtype=torch.float64).index_add(0, self.cluster, centred)
        count = len(sums)
        return float((sums.square().sum() * count / max(1, count - 1)).sqrt()) / len(difference)


def _right(case: Case, logp: Float[Tensor, " _opt"]) -> float:
    """Whether the likeliest option is right; options that tie share the answer."""
    best = logp == logp.max()
    return float(best[case.favourable]) / float(best.sum())


def doubling(most: int) -> list[int]:
    """0, 1, 2, 4, … and the most."""
    return [0, *(2**k for k in range(most.bit_length()) if 2**k < most), most]


def smallest(answers: Answers, sizes: Sequence[int]) -> int:
    """The smallest size whose accuracy is within one standard error of the best."""
    answers.ask(sizes)
    best = max(sizes, key=lambda n: (answers.accuracy(n), -n))
    return next(
        n for n in sizes if answers.accuracy(n) >= answers.accuracy(best) - answers.standard_error(n, best) - 1e-12
    )


def golden_section(answers: Answers, most: int) -> int:
    """The size of best accuracy by golden section of [0, most], and by trying all in what is left of it."""
    low, high = 0, most
    while high - low > _LAST:
        step = round(_GOLDEN * (high - low))
        left, right = high - step, low + step
        answers.ask([left, right])
        if answers.accuracy(left) < answers.accuracy(right):
            low = left
        else:
            high = right
    answers.ask(range(low, high + 1))
    return max(range(low, high + 1), key=lambda n: (answers.accuracy(n), -n))
