"""Read-outs at one position: the tokens by which the answers of a case first differ, with weights.

Answers that begin alike are walked along until they differ; the tokens they share become part of the prompt. What an
answer says after that token is not read: exact for answers of one token, the first step for longer ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.gendered import FEMALE, MALE
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.number_answers import number_answers
from evenhand.lm.attribution.rows import Row, Target, decoder_ids, start
from evenhand.lm.model import LM
from evenhand.lm.tokens import Unscorable, continuations, encode, render, scorable, tried

Wanted = Literal["contrast", "target"]
"""What is read: the favourable answer against the others (weights sum to 0), or log p of the favourable one."""


def by_leaning(scenario: Scenario) -> Scenario:
    """Return a scenario of words with a stereotype (fact `leaning`) as one of two groups, female and male words.

    Neutral prompts, where there are any, are cases of a group `baseline`; words that lean neither way are left out.
    Scenarios with groups come back as they are.
    """
    if scenario.groups or not any(case.fact("leaning") for case in scenario.cases):
        return scenario
    kept = scenario.where(lambda case: case.fact("leaning") in ("female", "male", "baseline"))
    cases = tuple(dataclasses.replace(case, group=case.fact("leaning")) for case in kept.cases)
    return dataclasses.replace(kept, cases=cases, groups=("female", "male"))


def first_token_rows(lm: LM, part: Scenario, wanted: Wanted = "contrast") -> list[Row]:
    """Return a row per case of one variation of one context, its targets all predicted at its last position.

    - `choice`, `pair`: the favourable option (of a pair the first) against the mean of the others; with the fact
      `sides` the mean of the female options against the mean of the male ones.
    - `number`: Σ π z over the answers of `evenhand.lm.attribution.number_answers`, low or high being favourable.

    A `target` is the favourable option (the only one, where there is one); with the fact `sides` those of the side that
    the word leans to. Cases whose answers cannot be told apart by a token are left out, and `lm.notify` is told.
    Raises CannotRun for masked models, UsageError where the outcome has no such answers or no option is favourable.
    """
    if lm.kind == "masked":
        raise CannotRun(
            "a masked model fills each answer into its own place, so its answers share no position at which to "
            "compare them; use another locator, such as contrast"
        )
    found = [tried(_row, lm, i, case, *answers) for i, case, answers in _answers(lm, part, wanted)]
    return list(scorable(lm, found).values())


def _answers(
    lm: LM, part: Scenario, wanted: Wanted
) -> Iterator[tuple[int, Case, tuple[Sequence[str], Sequence[float], Sequence[int]]]]:
    """Each case with the texts, weights and end tokens of its answers."""
    context = part.contexts[0]
    if context.outcome == "number" and wanted == "contrast":
        answers = number_answers(lm, part.cases)
        sign = -1.0 if context.favourable == "low" else 1.0
        weights = [sign * share * z for share, z in zip(answers.share, answers.z, strict=True)]
        yield from ((i, case, (answers.texts, weights, answers.ends)) for i, case in enumerate(part.cases))
    elif context.outcome in ("choice", "pair"):
        paired = context.outcome == "pair"
        yield from ((i, case, (case.options, _weights(case, wanted, paired), ())) for i, case in enumerate(part.cases))
    else:
        raise UsageError(
            f"context {context.name!r}: outcome {context.outcome!r} has no "
            f"{'one target token' if wanted == 'target' else 'answers to set against each other'}; use 'choice' or "
            f"'pair'{', or a contrast' if context.outcome == 'number' else ''}"
        )


def _weights(case: Case, wanted: Wanted, paired: bool) -> list[float]:
    sides, count = case.fact("sides"), len(case.options)
    if sides:
        share = {side: 1 / sides.count(side) for side in (FEMALE, MALE) if side in sides}
        if wanted == "contrast":
            share[MALE] = -share.get(MALE, 0.0)
        else:
            share.pop(MALE if case.fact("leaning") == "female" else FEMALE, None)
        return [share.get(side, 0.0) for side in sides]
    chosen = 0 if case.favourable is None else case.favourable
    if not count or (wanted == "contrast" and count < 2):
        raise UsageError(f"case {case.id!r}: a {wanted} needs {'two options' if count else 'options'}, it has {count}")
    if case.favourable is None and count > 1 and not paired:
        raise UsageError(
            f"case {case.id!r}: none of its {count} options is favourable, so which to read is not known; give the "
            "index of one as `favourable`"
        )
    others = -1 / (count - 1) if wanted == "contrast" else 0.0
    return [1.0 if i == chosen else others for i in range(count)]


def _row(
    lm: LM, index: int, case: Case, texts: Sequence[str], weights: Sequence[float], ends: Sequence[int]
) -> Row:  # fmt: skip
    source, answers, first = _sequences(lm, case, texts)
    answers = [ids + tuple(ends[i : i + 1]) for i, ids in enumerate(answers)]
    at = _parting(answers, first)
    if at is None or not at:
        why = "begin with the only token they have" if at is None else "differ from the first token on"
        raise Unscorable(f"case {case.id!r}: its answers {why}, so no position predicts all of them")
    totals: dict[int, float] = {}
    for ids, weight in zip(answers, weights, strict=True):
        totals[ids[at]] = totals.get(ids[at], 0.0) + weight
    targets = tuple(Target(at - 1, token, weight) for token, weight in totals.items() if abs(weight) > 1e-9)
    if not targets:
        raise Unscorable(f"case {case.id!r}: favourable and other answers go on with the same tokens after they part")
    seen = answers[0][:at]
    if lm.kind == "encoder-decoder":
        return Row(index, source, len(source), (), seen, targets)
    return Row(index, seen, len(seen), (), (), targets)


def _sequences(lm: LM, case: Case, texts: Sequence[str]) -> tuple[tuple[int, ...], list[tuple[int, ...]], int]:
    """What an encoder reads, each answer as tokens with all before it, and from where on answers may differ."""
    whole = not case.prompt and not case.answer_prefix
    if lm.kind == "encoder-decoder":
        source = encode(lm, "", whole=True).ids if whole else encode(lm, render(lm, case)).ids
        opening = start(lm)
        return source, [opening + decoder_ids(lm, text) for text in texts], len(opening)
    if whole:
        return (), [encode(lm, text, whole=True, or_end=True).ids for text in texts], 1
    parts = continuations(lm, render(lm, case), texts)
    return (), [parts.prefix + tail for tail in parts.tails], len(parts.prefix) + min(parts.first)


def _parting(answers: Sequence[tuple[int, ...]], first: int) -> int | None:
    """First place, from `first` on, at which answers hold different tokens (a single one: its first); or none.

    0 where they differ before anything predicts them.
    """
    if len(answers) == 1:
        return first if first < len(answers[0]) else None
    shortest = min(map(len, answers))
    return next((at for at in range(shortest) if len({ids[at] for ids in answers}) > 1), None)
