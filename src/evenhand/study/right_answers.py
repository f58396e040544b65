"""What edits do to questions that have a right answer, where no groups are compared: how often and how surely right."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Case
from evenhand.core.decision import likeliest
from evenhand.core.explained import AnswerEffect


def answer_effects(
    cases: Sequence[Case], before: Sequence[Float[Tensor, " _opt"]], after: Sequence[Float[Tensor, " _opt"]]
) -> tuple[AnswerEffect, ...]:
    """Return, for each context, the right answers before and after an edit, from each option's log-likelihood.

    Over the cases whose options all have a score; each case names its right option as favourable.
    """
    known = [i for i in range(len(cases)) if not (before[i].isnan().any() or after[i].isnan().any())]
    found: list[AnswerEffect] = []
    for context in dict.fromkeys(case.context for case in cases):
        few = [i for i in known if cases[i].context == context]
        one, other = ([_right(cases[i], scores[i]) for i in few] for scores in (before, after))
        found.append(AnswerEffect(
            context=context, right_before=_mean([hit for hit, _ in one]), right_after=_mean([hit for hit, _ in other]),
            before=_mean([logp for _, logp in one]), after=_mean([logp for _, logp in other]),
        ))  # fmt: skip
    return tuple(found)


def _right(case: Case, logp: Float[Tensor, " opt"]) -> tuple[float, float]:
    """Whether the likeliest option is the right one (ties share it), and the right one's log-share (nats)."""
    at = case.favourable or 0
    return float(likeliest(logp.double()[None])[0, at]), float(logp.double().log_softmax(0)[at])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
