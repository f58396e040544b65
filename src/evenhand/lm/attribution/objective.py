"""What locators take gradients of: the favourable outcome as one number per case, and the model's own answer.

**Favourable outcome**, in nats and linear in log-probabilities, so that it is a sum over rows and never saturates:

- `choice`: log p(favourable option) − mean log p(other options).
- `pair`: log-likelihood of the first (favourable) sentence − that of the second.
- `number`: Σ_v π(v) z(v) log P(v | prompt), with π the distribution of the unedited model's answers in the same context
  and variation, all groups pooled, and z the value standardised under π, negated where low is favourable. Why: the
  expected standardised answer is E(prompt) = Σ_v P(v | prompt) z(v), and its gradient is Σ_v P(v | prompt) z(v)
  ∇log P(v | prompt) (the score function identity). Replacing the weights P(v | prompt) by π makes answers and weights
  the same for both groups, so that a contrast compares only what differs inside the model. Σ π z = 0, so it does not
  move with the probability of answering with a number at all; and for two normal distributions of sd 1 that lie δ apart
  its gap is δ, the standardised mean difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.number_answers import number_answers
from evenhand.lm.attribution.rows import Row, continuation_rows, sentence_rows
from evenhand.lm.model import LM
from evenhand.lm.tokens import render


def cells(scenario: Scenario) -> Iterator[Scenario]:
    """Yield each variation of each context; raises UsageError unless every one has the reference and another group."""
    if not scenario.cases:
        raise UsageError(f"scenario {scenario.name!r} has no cases to compare groups on")
    for context in scenario.contexts:
        for variation in scenario.variations(context.name):
            part = scenario.where(lambda c, x=context.name, v=variation: c.context == x and c.variation == v)
            found = {case.group for case in part.cases}
            if len(found) < 2 or scenario.groups[0] not in found:
                raise UsageError(
                    f"scenario {scenario.name!r}, context {context.name!r}, variation {variation!r} has cases of "
                    f"{', '.join(sorted(found)) or 'no group'}; comparing groups needs the reference "
                    f"{scenario.groups[0] if scenario.groups else '(none declared)'!r} and at least one other"
                )
            yield part


def favourable_rows(lm: LM, part: Scenario) -> list[Row]:
    """Return the rows whose objectives sum to each case's favourable outcome; for one variation of one context.

    Raises UsageError for outcomes that have no favourable side in probabilities (`text`, `sentence`).
    """
    context = part.contexts[0]
    if context.outcome == "choice":
        return [row for i, case in enumerate(part.cases) for row in _choice_rows(lm, i, case)]
    if context.outcome == "pair":
        return [row for i, case in enumerate(part.cases) for row in _pair_rows(lm, i, case)]
    if context.outcome == "number":
        return _number_rows(lm, part.cases, -1.0 if context.favourable == "low" else 1.0)
    raise UsageError(
        f"context {context.name!r}: outcome {context.outcome!r} has no favourable outcome to take a gradient of; "
        "write it as 'number', 'choice' or 'pair'"
    )


def _number_rows(lm: LM, cases: Sequence[Case], sign: float) -> list[Row]:
    answers = number_answers(lm, cases)
    weights = [sign * share * z for share, z in zip(answers.share, answers.z, strict=True)]
    return [
        row
        for i, case in enumerate(cases)
        for row in continuation_rows(lm, i, render(lm, case), answers.texts, weights, answers.ends)
    ]


def _choice_rows(lm: LM, index: int, case: Case) -> list[Row]:
    if case.favourable is None or len(case.options) < 2:
        raise UsageError(f"case {case.id!r}: a choice needs at least two options, one of them favourable")
    others = len(case.options) - 1
    weights = [1.0 if i == case.favourable else -1.0 / others for i in range(len(case.options))]
    return continuation_rows(lm, index, render(lm, case), case.options, weights)


def _pair_rows(lm: LM, index: int, case: Case) -> list[Row]:
    if len(case.options) != 2:
        raise UsageError(f"case {case.id!r}: a pair has two sentences, not {len(case.options)}")
    return [row for text, w in zip(case.options, (1.0, -1.0), strict=True) for row in sentence_rows(lm, index, text, w)]
