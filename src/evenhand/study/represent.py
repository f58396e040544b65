"""What the layers of a model represent: states of words read by patched questions, free text and probes.

The work of `evenhand read`. For every state (prompt × source layer) and every target layer the log-odds of the first
concept against the second are set against those of the question as it is, so that models and questions that lean to one
answer can be compared; means are over questions, then over the prompts of a series, with intervals over their texts.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.bootstrap import Bootstrap, benjamini_hochberg
from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.core.represented import (
    RANDOM,
    AskedQuestion,
    FreeRow,
    FreeText,
    PatchedRow,
    ProbeRow,
    ReadPrompt,
    Represented,
    Separation,
)
from evenhand.lm.model import LM
from evenhand.lm.states.interpret import Question, check_causal, log_probabilities, question, written
from evenhand.lm.states.places import Place, place_of, single
from evenhand.lm.states.residual import capture, check_layers, depth
from evenhand.study.concept_probe import probe
from evenhand.study.concepts import FreeConfig, QuestionConfig, ReadingFile
from evenhand.study.grid import versions
from evenhand.study.models import identity
from evenhand.study.resampled import Mean, means
from evenhand.study.said import kind_of

_MOST_TARGETS = 8


@dataclass(frozen=True, eq=False)
class Read:
    """The states of every prompt, random ones behind them."""

    cases: tuple[Case, ...]
    """Group: the series; cluster: the text; name: the word."""
    places: tuple[Place, ...]
    states: Float[Tensor, "case layer d"]
    layers: tuple[int, ...]
    targets: tuple[int, ...]

    @property
    def real(self) -> int:
        """How many of the cases are prompts; the others are random vectors."""
        return len(self.places)


def represent(lm: LM, reading: ReadingFile, command: str = "") -> tuple[Represented, list[dict[str, Any]]]:
    """Return the record of a reading, and one line per state with all that was scored.

    Progress goes to `lm.progress`. Raises CannotRun for models that are not causal, UsageError for layers that are not
    there, words that are not in their prompts as tokens of their own, and forms that cannot be told apart.
    """
    began = time.monotonic()
    check_causal(lm)
    layers, targets = _layers(lm, reading)
    asked = [_question(lm, each, reading) for each in reading.questions]
    free = _free_place(lm, reading.free) if reading.free else None
    read = _read(lm, reading, layers, targets)
    plain = torch.stack([log_probabilities(lm, each, 0, None)[0] for each in asked])
    scores = _scored(lm, asked, read)
    patched, separations = _told(reading, read, scores, plain)
    text = _free(lm, reading, reading.free, free, read) if reading.free and free else {}
    found = Represented(
        name=reading.name, created=datetime.now(UTC).isoformat(timespec="seconds"), command=command, seconds=0.0,
        versions=versions(), model=identity(lm), reading=reading.model_dump(mode="json"),
        concepts=(reading.concepts[0].name, reading.concepts[1].name), layers=layers, targets=targets,
        series=(*(series.name for series in reading.series), RANDOM),
        known={series.name: series.known for series in reading.series if series.known},
        prompts=tuple(ReadPrompt(series=case.group, text=place.text, word=case.name, matched=place.matched)
                      for case, place in zip(read.cases, read.places, strict=False)),
        questions=tuple(_as_it_is(lm, each, logp) for each, logp in zip(asked, plain, strict=True)),
        patched=tuple(patched), separations=tuple(separations),
        probe=tuple(_probed(lm, reading, read)) if reading.probe.folds else (), **text,
    )  # fmt: skip
    return found.model_copy(update={"seconds": time.monotonic() - began}), _lines(read, scores)


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


def _free_place(lm: LM, free: FreeConfig) -> Place:
    case = Case("free", free.prompt, "reading", answer_prefix=free.answer)
    return single(lm, place_of(lm, case, free.placeholder, free.occurrence), free.placeholder)


def _read(lm: LM, reading: ReadingFile, layers: tuple[int, ...], targets: tuple[int, ...]) -> Read:
    """Find every word and take its states; random vectors have the norms of those of the first series."""
    cases: list[Case] = []
    places: list[Place] = []
    for series in reading.series:
        for prompt in series.prompts:
            for text, word in prompt.written():
                case = Case(f"{series.name} {len(cases)}", text, "reading", group=series.name, name=word,
                            cluster=f"{series.name}: {prompt.text}")  # fmt: skip
                cases.append(case)
                places.append(place_of(lm, case, word, prompt.occurrence))
    states = torch.cat(capture(lm, [p.ids for p in places], [[p.position] for p in places], layers))
    generator = torch.Generator().manual_seed(reading.seed)
    few = [i for i, case in enumerate(cases) if case.group == reading.series[0].name]
    real = states[few]
    noise = [torch.randn(real.shape, generator=generator) for _ in range(reading.draws)]
    drawn = [each * (real.square().sum(-1) / each.square().sum(-1)).sqrt()[..., None] for each in noise]
    for draw in range(reading.draws):
        cases += [Case(f"random {draw} {i}", cases[i].prompt, "reading", group=RANDOM, cluster=cases[i].cluster,
                       name=cases[i].name) for i in few]  # fmt: skip
    return Read(tuple(cases), tuple(places), torch.cat([states, *drawn]), layers, targets)


def _scored(lm: LM, asked: Sequence[Question], read: Read) -> Float[Tensor, "question case layer target 2"]:
    """Log p of both concepts with every state in every question at every target layer."""
    flat = read.states.flatten(0, 1)
    found: list[Tensor] = []
    for each in asked:
        for target in read.targets:
            found.append(log_probabilities(lm, each, target, flat))
            lm.progress("questions patched, by target layer", len(found), len(asked) * len(read.targets))
    stacked = torch.stack(found).reshape(len(asked), len(read.targets), len(read.cases), len(read.layers), 2)
    return stacked.permute(0, 2, 3, 1, 4)


def _told(
    reading: ReadingFile, read: Read, scores: Float[Tensor, "question case layer target 2"],
    plain: Float[Tensor, "question 2"],
) -> tuple[list[PatchedRow], list[Separation]]:  # fmt: skip
    """Means over questions and prompts of shift, share and mass; where the known series are apart."""
    scores, plain = scores.double(), plain.double()
    odds = scores[..., 0] - scores[..., 1]
    shift = (odds - (plain[:, 0] - plain[:, 1])[:, None, None, None]).mean(0).flatten(1)
    share, mass = odds.sigmoid().mean(0).flatten(1), scores.exp().sum(-1).mean(0).flatten(1)
    names = [*(series.name for series in reading.series), RANDOM]
    bootstrap, level = _bootstrap(reading), reading.bootstrap.level
    groups = [case.group for case in read.cases]
    parts = [torch.tensor([group == name for group in groups]) for name in names]
    known = [{series.name for series in reading.series if series.known == concept.name} for concept in reading.concepts]
    parts += [torch.tensor([group in few for group in groups]) for few in known]
    found = means(shift, read.cases, parts, bootstrap)
    pairs = [(layer, target) for layer in read.layers for target in read.targets]
    rows = [
        PatchedRow(series=name, layer=layer, target=target, shift=estimate,
                   share=float(share[part, i].mean()), mass=float(mass[part, i].mean()))
        for name, part, each in zip(names, parts, found, strict=False)
        for i, ((layer, target), estimate) in enumerate(zip(pairs, each.estimates(level, "nats"), strict=True))
    ]  # fmt: skip
    return rows, _separated(found[0], found[-2], found[-1], pairs, level)


def _separated(
    asked: Mean, first: Mean, second: Mean, pairs: Sequence[tuple[int, int]], level: float
) -> list[Separation]:  # fmt: skip
    apart = benjamini_hochberg((first - second).estimates(level, "nats"))
    place = ((asked - second) / (first - second)).estimates(level, neutral=math.nan)
    return [Separation(layer=layer, target=target, apart=a, place=b)
            for (layer, target), a, b in zip(pairs, apart, place, strict=True)]  # fmt: skip


def _bootstrap(reading: ReadingFile) -> Bootstrap:
    return Bootstrap(reading.bootstrap.replicates, reading.bootstrap.level, reading.seed)


def _as_it_is(lm: LM, asked: Question, logp: Float[Tensor, " 2"]) -> AskedQuestion:
    first, second = (tuple(form.text for form in forms if not form.left_out) for forms in asked.forms)
    return AskedQuestion(
        text=asked.place.text, placeholder=asked.place.matched, log_odds=float(logp[0] - logp[1]),
        mass=float(logp.exp().sum()), counted=(first, second),
        left_out=tuple(form.left_out for forms in asked.forms for form in forms if form.left_out),
    )  # fmt: skip


def _free(lm: LM, reading: ReadingFile, free: FreeConfig, place: Place, read: Read) -> dict[str, Any]:
    """What is written with every state in place, at one target layer; of the random vectors the first draw."""
    target = read.targets[0] if free.target is None else free.target
    plain = written(lm, place, target, None, free.tokens)[0]
    chosen = [*range(read.real), *(i for i, case in enumerate(read.cases) if case.id.startswith("random 0 "))]
    said = written(lm, place, target, read.states[chosen].flatten(0, 1), free.tokens)
    texts: list[FreeText] = []
    for n, i in enumerate(chosen):
        for m, layer in enumerate(read.layers):
            text = said[n * len(read.layers) + m]
            texts.append(FreeText(series=read.cases[i].group, layer=layer, text=text,
                                  prompt=i if i < read.real else int(read.cases[i].id.split()[-1]),
                                  kind=kind_of(text, reading.concepts, plain)))  # fmt: skip
    counts: dict[tuple[str, int], Counter[str]] = {}
    for each in texts:
        counts.setdefault((each.series, each.layer), Counter())[each.kind] += 1
    rows = tuple(FreeRow(series=s, layer=layer, counts=dict(found)) for (s, layer), found in counts.items())
    return {"free_question": place.text, "free_target": target, "plain": plain, "free": rows, "texts": tuple(texts)}


def _probed(lm: LM, reading: ReadingFile, read: Read) -> list[ProbeRow]:
    """Probes of the known series, and what they say of the others."""
    known = {series.name: series.known for series in reading.series}
    labelled = [i for i in range(read.real) if known[read.cases[i].group]]
    others = [i for i in range(read.real) if not known[read.cases[i].group]]
    first = [known[read.cases[i].group] == reading.concepts[0].name for i in labelled]
    told = [read.cases[i] for i in labelled]
    found = probe(read.states[labelled], first, [case.name for case in told], read.states[others],
                  reading.probe, reading.seed, lm.progress)  # fmt: skip
    level, all_ = reading.bootstrap.level, torch.ones(len(told), dtype=torch.bool)
    by_word = [Case(case.id, "", "reading", group="", cluster=case.name.lower()) for case in told]
    accuracy, control, gain = (
        means(values, by_word, [all_], _bootstrap(reading))[0].estimates(level, "", neutral)
        for values, neutral in ((found.correct, 0.5), (found.control, 0.5), (found.correct - found.control, 0.0))
    )
    rest = [read.cases[i] for i in others]
    names = list(dict.fromkeys(case.group for case in rest))
    parts = [torch.tensor([case.group == name for case in rest]) for name in names]
    shares = [each.estimates(level, "", 0.5) for each in means(found.shares, rest, parts, _bootstrap(reading))]
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
