"""One readout per kind of outcome, from scores, searches and samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from evenhand.core import numeral
from evenhand.core.answer import Cue, parse, side
from evenhand.core.case import Case, Outcome
from evenhand.core.errors import UsageError
from evenhand.core.numeral import Ended, State
from evenhand.core.option_answer import pick
from evenhand.core.progress import Progress
from evenhand.core.readout import Readout
from evenhand.core.scenario import Context
from evenhand.lm.batches.scores import OptionScores
from evenhand.lm.batches.variants import Variant
from evenhand.lm.generation.generate import Answer, generate
from evenhand.lm.generation.numbers import Numbers, exact
from evenhand.lm.generation.numeral_tree import Limits
from evenhand.lm.generation.sampling import Sampling
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import score_parts
from evenhand.lm.scoring.texts import score_texts
from evenhand.lm.tokens import encode_all, render_all
from evenhand.lm.vocabulary import Vocabulary, vocabulary

Sort = Literal["valid", "range", "refusal", "no_number", "truncated", "other"]


@dataclass(frozen=True, eq=False)
class Task:
    """Cases of one kind of outcome, the variants of the model they are put to, and their contexts by name."""

    lm: LM
    kind: Outcome
    cases: tuple[Case, ...]
    groups: tuple[str, ...]
    contexts: dict[str, Context]
    variants: tuple[Variant | None, ...]
    progress: Progress

    def readout(self, found: list[_Found], ddof: int, arrays: dict[str, Tensor], **notes: Any) -> Readout:
        """Put together what was found for each case."""
        atoms = [(value, mass, row) for row, each in enumerate(found) for value, mass in each.atoms]
        sorts = {"valid": None} | {sort: None for each in found for sort in each.shares}
        shares = {s: torch.tensor([each.shares.get(s, 0.0) for each in found], dtype=torch.float64) for s in sorts}
        return Readout(
            kind=self.kind,
            cases=self.cases,
            groups=self.groups,
            value=torch.tensor([atom[0] for atom in atoms], dtype=torch.float64),
            mass=torch.tensor([atom[1] for atom in atoms], dtype=torch.float64),
            row=torch.tensor([atom[2] for atom in atoms], dtype=torch.long),
            shares=shares,
            defined=torch.tensor([each.defined for each in found], dtype=torch.bool),
            ddof=ddof,
            arrays=arrays,
            answers=tuple(each.texts for each in found if each.texts),
            notes={**notes, "chat": self.lm.chat},
        )


@dataclass(frozen=True)
class _Found:
    """What came of one case: (value, mass) atoms, shares that sum to 1, raw texts of samples."""

    atoms: list[tuple[float, float]]
    shares: dict[str, float]
    defined: bool
    texts: tuple[str, ...] = ()


def exact_numbers(task: Task, sampling: Sampling, limits: Limits) -> list[Readout]:
    """Return the distribution of the number every answer starts with; all variants share the searches' batches."""
    prompts = [encoded.ids for encoded in encode_all(task.lm, render_all(task.lm, task.cases))]
    n = len(prompts)
    per_row = [variant for variant in task.variants for _ in range(n)]
    results = exact(task.lm, prompts * len(task.variants), per_row, limits, sampling, task.progress)
    undecided = sum(_too_open(each, limits) for each in results)
    if undecided:
        task.lm.notify(
            f"numbers: {undecided} of {len(results)} searches left more than {limits.open_share:.0%} of the numeric "
            f"probability open after {limits.nodes} nodes; their means are undefined. Read with numeric = 'sample', or "
            "raise node_budget"
        )
    out: list[Readout] = []
    for start in range(0, len(results), n):
        part = results[start : start + n]
        nodes = torch.tensor([each.nodes for each in part])
        notes = {"temperature": sampling.temperature, "top_p": sampling.top_p, "open_share": limits.open_share,
                 "node_budget": limits.nodes, "undecided": sum(_too_open(each, limits) for each in part)}  # fmt: skip
        out.append(task.readout([_searched(each) for each in part], 0, {"nodes": nodes}, mode="exact", **notes))
    return out


def _too_open(numbers: Numbers, limits: Limits) -> bool:
    """Whether more search, or sampling, could make a mean known; not where the model hardly gives numbers at all."""
    return numbers.open > limits.floor and not numbers.defined


def _searched(numbers: Numbers) -> _Found:
    atoms = list(zip(map(float, numbers.values), map(float, numbers.masses), strict=True))
    shares = {"valid": numbers.found, "not_number": numbers.not_number, "open": numbers.open}
    return _Found(atoms, shares, numbers.defined)


def sampled_numbers(task: Task, sampling: Sampling, cue: Cue | None) -> list[Readout]:
    """Return sampled numbers: at the start of the answer (`cue` None, as exact search) or anywhere in it.

    At the start, arrays `range` and `later` hold the shares of answers that go on to a range, or have a number later.
    """
    known = vocabulary(task.lm)
    out: list[Readout] = []
    for variant in task.variants:
        answers = generate(task.lm, task.cases, sampling, task.progress, variant)
        read = [[_number(answer, known, cue) for answer in each] for each in answers]
        found = [_counted(each, values) for each, values in zip(answers, read, strict=True)]
        arrays = {} if cue else {label: _labelled(answers, read, label) for label in ("range", "later")}
        notes = {**asdict(sampling), "anywhere": cue is not None, "cue": cue or ""}
        out.append(task.readout(found, 1, arrays, mode="sample", **notes))
    return out


def _number(answer: Answer, known: Vocabulary, cue: Cue | None) -> tuple[Sort, float]:
    """Return what an answer is, and its number (NaN: none)."""
    parsed = parse(answer.text, answer.ended, cue or "last")
    if cue:
        return "valid" if parsed.outcome == "ok" else parsed.outcome, parsed.value
    opening = numeral.read(known.pieces(answer.tokens), answer.ended)
    if isinstance(opening, Ended):
        return "valid", opening.value
    if isinstance(opening, State):
        return "truncated", math.nan
    if parsed.outcome in ("ok", "range"):
        return "other", math.nan
    return "refusal" if parsed.outcome == "refusal" else "no_number", math.nan


def _counted(answers: Sequence[Answer], read: Sequence[tuple[str, float]]) -> _Found:
    atoms = [(value, 1.0) for _, value in read if not math.isnan(value)]
    shares: dict[str, float] = {}
    for sort, _ in read:
        shares[sort] = shares.get(sort, 0.0) + 1 / len(read)
    return _Found(atoms, shares, bool(atoms), tuple(answer.text for answer in answers))


def _labelled(
    answers: Sequence[Sequence[Answer]], read: Sequence[Sequence[tuple[str, float]]], label: str
) -> Float[Tensor, " case"]:
    """Share of the answers of each case that carry a label beside what they start with."""

    def has(answer: Answer, sort: str) -> bool:
        return sort == "other" if label == "later" else parse(answer.text, answer.ended).outcome == "range"

    shares = [
        [has(a, sort) for a, (sort, _) in zip(few, kinds, strict=True)]
        for few, kinds in zip(answers, read, strict=True)
    ]
    return torch.tensor(shares, dtype=torch.float64).mean(1)


def sampled_texts(task: Task, sampling: Sampling) -> list[Readout]:
    """Return 1 for favourable answers, 0 for unfavourable ones; refusals and the rest are shares.

    An answer to a case with options picks one of them, by letter or words; array `picked` holds the share of its
    answers that picks each. Other answers are favourable or not by the words of their context.
    """
    out: list[Readout] = []
    for variant in task.variants:
        answers = generate(task.lm, task.cases, sampling, task.progress, variant)
        read = [[_text(task, case, a) for a in few] for case, few in zip(task.cases, answers, strict=True)]
        found = [_counted(few, [each[:2] for each in sorts]) for few, sorts in zip(answers, read, strict=True)]
        arrays = {"picked": _picked(task.cases, read)} if any(case.options for case in task.cases) else {}
        out.append(task.readout(found, 1, arrays, mode="sample", **asdict(sampling)))
    return out


def _text(task: Task, case: Case, answer: Answer) -> tuple[Sort, float, int | None]:
    """Return what an answer is, its value (NaN: none) and the option it picks."""
    if case.options:
        read = pick(answer.text, answer.ended, case.options)
        told = read.option is not None and case.favourable is not None
        return read.outcome, float(read.option == case.favourable) if told else math.nan, read.option
    about = task.contexts[case.context]
    way = side(answer.text, answer.ended, about.favourable_words, about.unfavourable_words)
    if way in ("favourable", "unfavourable"):
        return "valid", float(way == "favourable"), None
    return way, math.nan, None


def _picked(
    cases: Sequence[Case], read: Sequence[Sequence[tuple[Sort, float, int | None]]]
) -> Float[Tensor, "case opt"]:
    """Share of the answers of each case that picks each option."""
    counts = [[sum(each[2] == i for each in few) for i in range(len(case.options))]
              for case, few in zip(cases, read, strict=True)]  # fmt: skip
    return _padded([torch.tensor(c, dtype=torch.float64) / len(few) for c, few in zip(counts, read, strict=True)])


def choices(task: Task) -> list[Readout]:
    """Return each decision as two answers: 1 (the favourable option) with its share among the options, else 0.

    Array `logp` holds all options.
    """
    for case in task.cases:
        if case.favourable is None or not 0 <= case.favourable < len(case.options):
            raise UsageError(f"case {case.id!r}: which of its {len(case.options)} options is favourable is not said")
    return [_options(task, scores, _decision) for scores in _scored(task)]


def pairs(task: Task) -> list[Readout]:
    """Return log-likelihood of the first sentence minus that of the second, nats (array `logp`: all, and its parts)."""
    for case in task.cases:
        if len(case.options) < 2:
            raise UsageError(f"case {case.id!r}: a pair has two sentences or more, this one has {len(case.options)}")
        if case.spans and len(case.spans) != len(case.options):
            raise UsageError(f"case {case.id!r}: {len(case.spans)} spans for {len(case.options)} sentences")
    return [_options(task, scores, _preference) for scores in _scored(task)]


def _scored(task: Task) -> list[list[OptionScores]]:
    return score_parts(task.lm, task.cases, task.variants, task.progress)


def _decision(case: Case, logp: Float[Tensor, " opt"]) -> _Found:
    share = float(logp.softmax(0)[case.favourable or 0])
    return _found([(1.0, share), (0.0, 1.0 - share)], math.isfinite(share))


def _preference(case: Case, logp: Float[Tensor, " opt"]) -> _Found:
    return _single(float(logp[0] - logp[1]))


def _options(task: Task, scores: Sequence[OptionScores], found: Callable[[Case, Tensor], _Found]) -> Readout:
    answers = [found(case, each.logp) for case, each in zip(task.cases, scores, strict=True)]
    arrays = {"logp": _padded([each.logp for each in scores]), "tokens": _padded([each.tokens for each in scores])}
    for name in {name: None for each in scores for name in each.parts}:
        arrays[name] = _padded([each.parts.get(name, torch.full_like(each.logp, math.nan)) for each in scores])
    return task.readout(answers, 0, arrays, mode="likelihood")


def _padded(rows: Sequence[Float[Tensor, " _opt"]]) -> Float[Tensor, "case opt"]:
    return pad_sequence([row.double() for row in rows], batch_first=True, padding_value=math.nan)


def _single(value: float) -> _Found:
    return _found([(value, 1.0)], math.isfinite(value))


def _found(atoms: list[tuple[float, float]], known: bool) -> _Found:
    """These atoms; an undefined score (a text without tokens, a broken model) leaves the case without any."""
    return _Found(atoms if known else [], {"valid": 1.0} if known else {"other": 1.0}, known)


def sentences(task: Task) -> list[Readout]:
    """Return the log-likelihood per token of each text (arrays `logp`, `tokens`; beside the unedited model more).

    `kl` and `agree` are missing while edits are applied around the reading: no unedited model is in the pass then.
    """
    out: list[Readout] = []
    for scores in score_texts(task.lm, [case.prompt for case in task.cases], task.variants, task.progress):
        arrays = {"logp": scores.logp, "tokens": scores.tokens}
        if not task.lm.edits:
            arrays |= {"kl": scores.kl, "agree": scores.agree}
        found = [_single(float(value)) for value in scores.logp / scores.tokens]
        out.append(task.readout(found, 0, arrays, mode="likelihood"))
    return out
