"""What the layers of a model represent: states of words read by patched questions, free text and probes.

The work of `evenhand read`. For every state (prompt × source layer) and every target layer the log-odds of the first
concept against the second are set against those of the question as it is, so that models and questions that lean to one
answer can be compared; means are over questions, then over the prompts of a series, with intervals over their texts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.bootstrap import benjamini_hochberg
from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.core.record import digest_of
from evenhand.core.represented import (
    RANDOM,
    AskedQuestion,
    ProbeRow,
    ReadPrompt,
    Represented,
)
from evenhand.lm.model import LM
from evenhand.lm.states.interpret import Question, check_causal, log_probabilities, question
from evenhand.lm.states.places import Place
from evenhand.lm.states.residual import check_layers, depth
from evenhand.study.code import package
from evenhand.study.concept_probe import Probed, probe
from evenhand.study.concepts import QuestionConfig, ReadingFile
from evenhand.study.free_texts import free_reading, free_texts
from evenhand.study.grid import versions
from evenhand.study.models import identity
from evenhand.study.parts import Ended, Parts, unheard
from evenhand.study.resampled import means
from evenhand.study.shifts import drawing, shifts
from evenhand.study.word_states import Read, read_words

_MOST_TARGETS = 8


def represent(
    lm: LM, reading: ReadingFile, command: str = "", ended: Ended = unheard
) -> tuple[Represented, list[dict[str, Any]]]:
    """Return the record of a reading, and one line per state with all that was scored.

    Its parts (a layer's probe, a question at a target layer, the free texts of a layer) are kept in `lm.workplace`,
    where there is one, and `ended` is told of each. Raises CannotRun for models that are not causal, UsageError for
    layers that are not there, words that are not in their prompts as tokens of their own, and forms that cannot be told
    apart.
    """
    began = time.monotonic()
    check_causal(lm)
    layers, targets = _layers(lm, reading)
    asked = [_question(lm, each, reading) for each in reading.questions]
    read = read_words(lm, reading, layers, targets)
    plain = torch.stack([log_probabilities(lm, each, 0, None)[0] for each in asked])
    free = free_reading(lm, reading.free, targets) if reading.free else None
    parts = Parts(lm, _about(lm, reading), _count(reading, read), ended)
    probed = tuple(_probed(reading, read, parts)) if reading.probe.folds else ()
    scores = _scored(lm, asked, read, parts)
    told = shifts(reading, read, scores, plain)
    text = free_texts(lm, reading, free, read, parts) if free else {}
    found = Represented(
        name=reading.name, about=digest_of(_about(lm, reading)), command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"), seconds=time.monotonic() - began + parts.before,
        versions=versions(), model=identity(lm), reading=reading.model_dump(mode="json"),
        concepts=(reading.concepts[0].name, reading.concepts[1].name), layers=layers, targets=targets,
        series=(*(series.name for series in reading.series), RANDOM),
        known={series.name: series.known for series in reading.series if series.known},
        prompts=tuple(ReadPrompt(series=case.group, text=place.text, word=case.name, matched=place.matched)
                      for case, place in zip(read.cases, read.places, strict=False)),
        questions=tuple(_as_it_is(lm, each, logp) for each, logp in zip(asked, plain, strict=True)),
        **told,
        probe=probed, notes=_notes([each.place for each in asked] + ([free.place] if free else [])), **text,
    )  # fmt: skip
    return found, _lines(read, scores)


def same(lm: LM, reading: ReadingFile, found: Represented) -> bool:
    """Whether a record is of this reading of this model, by this code."""
    return found.about == digest_of(_about(lm, reading))


def _about(lm: LM, reading: ReadingFile) -> dict[str, Any]:
    """All that the numbers depend on."""
    return {"model": identity(lm), "reading": reading.model_dump(mode="json"), "versions": versions(),
            "code": package()}  # fmt: skip


def _count(reading: ReadingFile, read: Read) -> int:
    """How many parts there are."""
    by_layer = bool(reading.probe.folds) + (reading.free is not None)
    return by_layer * len(read.layers) + len(reading.questions) * len(read.targets)


def _layers(lm: LM, reading: ReadingFile) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Source and target layers, checked."""
    count = depth(lm)
    layers = tuple(range(count)) if reading.layers == "all" else reading.layers
    upper = max(1, round(count * 0.75))
    spread = sorted({round(i * (upper - 1) / max(1, _MOST_TARGETS - 1)) for i in range(_MOST_TARGETS)})
    targets = tuple(spread) if reading.targets == "spread" else reading.targets
    if not layers or not targets:
        raise UsageError("a reading needs at least one layer to read and one to write to")
    check_layers(lm, [*layers, *targets])
    return layers, targets


def _question(lm: LM, each: QuestionConfig, reading: ReadingFile) -> Question:
    case = Case("question", each.prompt, "reading", answer_prefix=each.answer)
    forms = (reading.concepts[0].forms, reading.concepts[1].forms)
    return question(lm, case, each.placeholder, each.occurrence, forms)


def _scored(
    lm: LM, asked: Sequence[Question], read: Read, parts: Parts
) -> Float[Tensor, "question case layer target 2"]:
    """Log p of both concepts with every state in every question at every target layer."""
    flat = read.states.flatten(0, 1)
    found = [
        torch.tensor(parts.of(f"question {i} into {target}", partial(_numbers, lm, each, target, flat)))
        for i, each in enumerate(asked) for target in read.targets
    ]  # fmt: skip
    stacked = torch.stack(found).reshape(len(asked), len(read.targets), len(read.cases), len(read.layers), 2)
    return stacked.permute(0, 2, 3, 1, 4)


def _numbers(lm: LM, asked: Question, target: int, states: Float[Tensor, "state d"]) -> list[list[float]]:
    return cast("list[list[float]]", log_probabilities(lm, asked, target, states).tolist())


def _as_it_is(lm: LM, asked: Question, logp: Float[Tensor, " 2"]) -> AskedQuestion:
    first, second = (tuple(form.text for form in forms if not form.left_out) for forms in asked.forms)
    return AskedQuestion(
        text=asked.place.text, placeholder=asked.place.matched, log_odds=float(logp[0] - logp[1]),
        mass=float(logp.exp().sum()), counted=(first, second),
        left_out=tuple(form.left_out for forms in asked.forms for form in forms if form.left_out),
    )  # fmt: skip


def _notes(places: Sequence[Place]) -> tuple[str, ...]:
    """What was decided for the user: where one state stands for several tokens."""
    several = {place.matched.strip(): len(place.positions) for place in places if len(place.positions) > 1}
    return tuple(f"The placeholder {word!r} is {count} tokens for this model: the state overwrites each of them."
                 for word, count in several.items())  # fmt: skip


def _probed(reading: ReadingFile, read: Read, parts: Parts) -> list[ProbeRow]:
    """Probes of the known series, and what they say of the others."""
    known = {series.name: series.known for series in reading.series}
    labelled = [i for i in range(read.real) if known[read.cases[i].group]]
    others = [i for i in range(read.real) if not known[read.cases[i].group]]
    first = [known[read.cases[i].group] == reading.concepts[0].name for i in labelled]
    told = [read.cases[i] for i in labelled]
    prompts = [(case.name, case.cluster.removeprefix(f"{case.group}: ")) for case in told]

    def layer_told(m: int) -> list[list[float]]:
        one = probe(read.states[labelled][:, [m]], first, prompts, read.states[others][:, [m]], reading.probe,
                    reading.seed)  # fmt: skip
        return [part[:, 0].tolist() for part in (one.correct, one.control, one.shares)]

    made = [parts.of(f"probe of {layer}", lambda m=m: layer_told(m)) for m, layer in enumerate(read.layers)]
    found = Probed(*(torch.tensor([layer[k] for layer in made]).T for k in range(3)))
    level, all_ = reading.bootstrap.level, torch.ones(len(told), dtype=torch.bool)
    by_word = [replace(case, group="", cluster=case.name.lower()) for case in told]
    accuracy, control, gain = (
        means(values, told, [all_], drawing(reading), by_word)[0].estimates(level, "", neutral)
        for values, neutral in ((found.correct, 0.5), (found.control, 0.5), (found.correct - found.control, 0.0))
    )
    gain = benjamini_hochberg(gain)
    rest = [read.cases[i] for i in others]
    names = list(dict.fromkeys(case.group for case in rest))
    members = [torch.tensor([case.group == name for case in rest]) for name in names]
    shares = [each.estimates(level, "", 0.5) for each in means(found.shares, rest, members, drawing(reading))]
    return [
        ProbeRow(layer=layer, accuracy=accuracy[i], control=control[i], selectivity=gain[i],
                 shares={name: each[i] for name, each in zip(names, shares, strict=True)})
        for i, layer in enumerate(read.layers)
    ]  # fmt: skip


def _lines(read: Read, scores: Float[Tensor, "question case layer target 2"]) -> list[dict[str, Any]]:
    """One line per state: log p of both concepts, [question][target][concept]."""
    return [
        {"series": case.group, "case": case.id, "text": case.prompt, "word": case.name, "layer": layer,
         "log_p": scores[:, i, m].tolist()}
        for i, case in enumerate(read.cases) for m, layer in enumerate(read.layers)
    ]  # fmt: skip
