"""The unedited model's own answers as rows: to collect activations on, and to differentiate their likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evenhand.core.case import Case, Outcome
from evenhand.core.progress import silent
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.rows import Row, Target, continuation_rows, decoder_ids, name_places, sentence_rows, start
from evenhand.lm.generation.generate import generate
from evenhand.lm.generation.sampling import Sampling
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import check_scored, score_options
from evenhand.lm.scoring.texts import whole_texts
from evenhand.lm.tokens import continuations, encode, render


def answer_rows(lm: LM, scenario: Scenario, *, names: bool = False, most_tokens: int = 24) -> list[Row]:
    """Return each case with the unedited model's own answer; the objective is its negative log-likelihood per token.

    The answer is greedy for numbers and texts, the likelier option for `choice`, the likelier sentence for `pair`, and
    the text itself for `sentence`. With `names`, the places of the name's tokens too.
    """
    rows: list[Row] = []
    for context in scenario.contexts:
        places = [i for i, case in enumerate(scenario.cases) if case.context == context.name]
        cases = [scenario.cases[i] for i in places]
        own = _own(lm, cases, context.outcome, most_tokens)
        for index, case, (text, few) in zip(places, cases, own, strict=True):
            name = name_places(case, text, encode(lm, text)) if names else ()
            count = sum(len(row.targets) for row in few)
            rows.extend(_mean(row, index, name, count) for row in few)
    return rows


def said_rows(lm: LM, scenario: Scenario, *, names: bool = False) -> list[Row]:
    """Return the same to be read, not scored: without targets, and nothing masked.

    A masked model scores its answer in copies of the text, each with one token masked; here they are one row again, so
    that every case counts once. Only a text longer than its context stays several rows.
    """
    said: dict[tuple[int, tuple[int, ...], tuple[int, ...]], Row] = {}
    for row in answer_rows(lm, scenario, names=names):
        ids = list(row.ids)
        if lm.kind == "masked":
            for target in row.targets:
                ids[target.position] = target.token
        written = replace(row, ids=tuple(ids), targets=())
        said.setdefault((row.case, written.ids, row.decoder), written)
    return list(said.values())


def _mean(row: Row, index: int, name: tuple[int, ...], count: int) -> Row:
    targets = tuple(replace(target, weight=-1.0 / count) for target in row.targets)
    return replace(row, case=index, name=name, targets=targets)


def _own(lm: LM, cases: Sequence[Case], outcome: Outcome, most_tokens: int) -> list[tuple[str, list[Row]]]:
    """For each case the text that holds its name, and its rows with the whole answer fed."""
    if outcome in ("number", "text"):
        sampling = Sampling(samples=1, temperature=0.0, max_new_tokens=most_tokens)
        said = [answers[0].tokens for answers in generate(lm, cases, sampling)]
        return [
            (text := render(lm, c), [_whole(lm, encode(lm, text).ids, t)]) for c, t in zip(cases, said, strict=True)
        ]
    if outcome == "choice":
        best = [int(scores.argmax()) for scores in check_scored(cases, score_options(lm, cases)[0])]
        return [(render(lm, c), _option(lm, render(lm, c), c.options[b])) for c, b in zip(cases, best, strict=True)]
    texts = [case.options if outcome == "pair" else (case.prompt,) for case in cases]
    scores = iter(whole_texts(lm, [text for few in texts for text in few], (None,), silent)[0])
    likelier = [max((next(scores), -i, text) for i, text in enumerate(few))[2] for few in texts]
    return [(text, sentence_rows(lm, 0, text, 1.0, outcome == "pair")) for text in likelier]


def _option(lm: LM, prompt: str, option: str) -> list[Row]:
    if lm.kind == "masked":
        return continuation_rows(lm, 0, prompt, [option], [1.0])
    if lm.kind == "encoder-decoder":
        return [_whole(lm, encode(lm, prompt).ids, decoder_ids(lm, option))]
    parts = continuations(lm, prompt, [option])
    whole, first = parts.prefix + parts.tails[0], len(parts.prefix) + parts.first[0]
    return [_whole(lm, whole[:first], whole[first:])]


def _whole(lm: LM, prompt: tuple[int, ...], answer: tuple[int, ...]) -> Row:
    """Prompt and answer, every answer token fed and predicted."""
    fed, before = (
        (start(lm) + answer, len(start(lm))) if lm.kind == "encoder-decoder" else (prompt + answer, len(prompt))
    )
    targets = tuple(Target(i - 1, fed[i]) for i in range(before, len(fed)))
    if lm.kind == "encoder-decoder":
        return Row(0, prompt, len(prompt), (), fed, targets)
    return Row(0, fed, len(prompt), targets=targets)
