"""What of a scenario is to be forgotten: its hateful sentences, its stereotypical ones, or the answers that differ.

- Sentences of side `hateful` (HateCheck, ToxiGen): they themselves, with the words that the scenario marks. Neutral
  ones, for selectors that compare, are those of side `neutral` about the same groups.
- Pairs (StereoSet, CrowS-Pairs, RedditBias): the first sentence, the stereotypical one, and of it what fills the blank,
  or else the words that the second does not have. The second ones are the neutral texts.
- Choices: each prompt with the option that the model itself gives this group more readily than it gives all groups on
  average: the favourable one for a group above the mean, the likeliest other one for a group below it. Of the text only
  the option counts. There are no neutral texts.

Pairs and choices have a gap, by which a training can tell that it has turned a bias round: how much likelier the
stereotypical sentence is, and how much readier the groups above the mean are given the favourable option (nats).
"""

from __future__ import annotations

import difflib
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import compress

from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.core.hate import HATEFUL, NEUTRAL
from evenhand.core.scenario import Scenario
from evenhand.core.spans import Spans, joined, words
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import score_options


@dataclass(frozen=True)
class Forgettable:
    """Texts as cases whose prompt is the whole text, neutral texts beside them, and a gap where there is one."""

    cases: tuple[Case, ...]
    neutral: tuple[str, ...] = ()
    gap: Callable[[LM], float] | None = None
    left_out: int = 0
    """Choices without a score (too long for the context, no token of their own), which count nowhere."""


def forgettable(lm: LM, bias: Scenario, groups: Sequence[str]) -> Forgettable:
    """Return what is to be forgotten about these groups (none named: all of them).

    Raises UsageError for a group that the scenario has not, and for a scenario with nothing to forget.
    """
    wanted = {*groups} or {case.group for case in bias.cases}
    known = {case.group for case in bias.cases}
    if unknown := wanted - known:
        raise UsageError(
            f"scenario {bias.name!r} has no group {sorted(unknown)[0]!r} to unlearn "
            f"(it has: {', '.join(sorted(known))})"
        )
    outcomes = {context.name: context.outcome for context in bias.contexts}
    of = {kind: [case for case in bias.cases if outcomes[case.context] == kind] for kind in outcomes.values()}
    found = _hateful(of.get("sentence", []), wanted)
    if not found.cases and "pair" in of:
        found = _stereotypical(of["pair"], wanted)
    if not found.cases and "choice" in of:
        found = _uneven(lm, of["choice"], wanted)
    if not found.cases:
        raise UsageError(
            f"scenario {bias.name!r} has nothing to unlearn: expected sentences of side 'hateful' (such as hatecheck), "
            "pairs of a stereotypical and another sentence, or choices that a model makes otherwise for some groups"
        )
    return found


def _hateful(cases: Sequence[Case], wanted: set[str]) -> Forgettable:
    sides = {side: [case for case in cases if case.fact("side") == side and case.group in wanted]
             for side in (HATEFUL, NEUTRAL)}  # fmt: skip
    return Forgettable(tuple(sides[HATEFUL]), tuple(case.prompt for case in sides[NEUTRAL]))


def _stereotypical(cases: Sequence[Case], wanted: set[str]) -> Forgettable:
    pairs = [case for case in cases if case.group in wanted and len(case.options) > 1]

    def gap(lm: LM) -> float:
        apart = [float(each[0] - each[1]) for each in score_options(lm, pairs)[0]]
        known = [each for each in apart if not math.isnan(each)]
        return sum(known) / len(known) if known else math.nan

    texts = (replace(case, prompt=case.options[0], spans=_blank(case), options=()) for case in pairs)
    return Forgettable(tuple(texts), tuple(case.options[1] for case in pairs), gap if pairs else None)


def _blank(case: Case) -> Spans:
    """What fills the blank of the first sentence, or the words that only it has."""
    if case.spans:
        return joined([case.spans[0]])
    first, second = (words(text) for text in case.options[:2])
    texts = [[text[slice(*span)] for span in spans] for text, spans in zip(case.options, (first, second), strict=False)]
    same = difflib.SequenceMatcher(None, *texts, autojunk=False).get_matching_blocks()
    kept = {block.a + i for block in same for i in range(block.size)}
    return joined(span for i, span in enumerate(first) if i not in kept)


def _uneven(lm: LM, cases: Sequence[Case], wanted: set[str]) -> Forgettable:
    """The answers that the groups are given unevenly; nothing where all are given the same."""
    given = [case for case in cases if case.favourable is not None and len(case.options) > 1]
    found = [tuple(float(x) for x in each) for each in score_options(lm, given)[0]] if given else []
    # One undefined score would make the mean of all groups undefined, and with it every label wrong.
    known = [not any(map(math.isnan, each)) for each in found]
    asked, scores = [*compress(given, known)], [*compress(found, known)]
    means = _group_means(asked, scores)
    side = {key: _side(key, means) for key in means}
    texts = [
        _answered(case, score, side[_cell(case)])
        for case, score in zip(asked, scores, strict=True)
        if case.group in wanted and side[_cell(case)]
    ]

    def gap(now: LM) -> float:
        said = [tuple(float(x) for x in each) for each in score_options(now, asked)[0]]
        held = _group_means(asked, said)
        return sum(side[key] * value for key, value in held.items()) / max(1, len(held))

    return Forgettable(tuple(texts), gap=gap if texts else None, left_out=len(given) - len(asked))


def _cell(case: Case) -> tuple[str, str, str]:
    return case.context, case.variation, case.group


def _group_means(cases: Sequence[Case], scores: Sequence[Sequence[float]]) -> dict[tuple[str, str, str], float]:
    """Of each context, variation and group, the mean of log p(favourable) − mean log p(others)."""
    held: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for case, score in zip(cases, scores, strict=True):
        favourable = score[case.favourable or 0]
        held[_cell(case)].append(favourable - (sum(score) - favourable) / (len(score) - 1))
    return {key: sum(values) / len(values) for key, values in held.items()}


def _side(key: tuple[str, str, str], means: dict[tuple[str, str, str], float]) -> int:
    """1 where a group is above the mean of its variation, −1 where it is below."""
    fellows = [value for other, value in means.items() if other[:2] == key[:2]]
    apart = means[key] - sum(fellows) / len(fellows)
    return 0 if len(fellows) < 2 or apart == 0 else 1 if apart > 0 else -1


def _answered(case: Case, score: Sequence[float], side: int) -> Case:
    """The prompt with the option that this group is given too readily; the option is its span."""
    others = [i for i in range(len(case.options)) if i != case.favourable]
    option = case.options[(case.favourable or 0) if side > 0 else max(others, key=lambda i: score[i])]
    before = f"{case.prompt}{case.answer_prefix}"
    start = len(before) + len(option) - len(option.lstrip())
    end = len(before) + len(option)
    return replace(case, prompt=f"{before}{option}{case.ending}", spans=((start, end),), options=(), favourable=None)
