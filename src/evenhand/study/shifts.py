"""What patched questions say: how far states move the answer, by series, by sentence, and between the known ones."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.bootstrap import Bootstrap, benjamini_hochberg
from evenhand.core.represented import RANDOM, PatchedRow, Separation, TextRow
from evenhand.study.concepts import ReadingFile
from evenhand.study.resampled import Mean, means
from evenhand.study.word_states import Read

Pairs = list[tuple[int, int]]
"""Source and target layer of each column."""


def drawing(reading: ReadingFile) -> Bootstrap:
    """Return how intervals of a reading are drawn."""
    return Bootstrap(reading.bootstrap.replicates, reading.bootstrap.level, reading.seed)


def shifts(
    reading: ReadingFile, read: Read, scores: Float[Tensor, "question case layer target 2"],
    plain: Float[Tensor, "question 2"],
) -> dict[str, Any]:  # fmt: skip
    """Return `patched`, `by_text` and `separations` of the record: means over questions and prompts.

    From log p of both concepts with every state in every question, and with nothing put in.
    """
    scores, plain = scores.double(), plain.double()
    odds = scores[..., 0] - scores[..., 1]
    shift = (odds - (plain[:, 0] - plain[:, 1])[:, None, None, None]).mean(0).flatten(1)
    share, mass = odds.sigmoid().mean(0).flatten(1), scores.exp().sum(-1).mean(0).flatten(1)
    rises = (scores.exp() - plain.exp()[:, None, None, None]).mean(0).flatten(1, 2)
    names = [*(series.name for series in reading.series), RANDOM]
    bootstrap, level = drawing(reading), reading.bootstrap.level
    groups = [case.group for case in read.cases]
    parts = [torch.tensor([group == name for group in groups]) for name in names]
    known = [{series.name for series in reading.series if series.known == concept.name} for concept in reading.concepts]
    both = [*parts, *(torch.tensor([group in few for group in groups]) for few in known)]
    found = means(shift, read.cases, both, bootstrap)
    up, down = (means(rises[..., k], read.cases, parts, bootstrap) for k in (0, 1))
    pairs = [(layer, target) for layer in read.layers for target in read.targets]
    rows: list[PatchedRow] = []
    for name, part, *three in zip(names, parts, found, up, down, strict=False):
        moved, *rise = (each.estimates(level, unit) for each, unit in zip(three, ("nats", "", ""), strict=True))
        rows += [
            PatchedRow(series=name, layer=layer, target=target, shift=moved[i], rises=(rise[0][i], rise[1][i]),
                       share=float(share[part, i].mean()), mass=float(mass[part, i].mean()))
            for i, (layer, target) in enumerate(pairs)
        ]  # fmt: skip
    return {"patched": tuple(rows), "by_text": _by_text(read, shift),
            "separations": _separated(found[0], found[-2], found[-1], pairs, level)}  # fmt: skip


def _by_text(read: Read, shift: Float[Tensor, "case column"]) -> tuple[TextRow, ...]:
    """The mean of the words of each sentence, without the random vectors."""
    members: dict[tuple[str, str], list[int]] = {}
    for i, case in enumerate(read.cases[: read.real]):
        members.setdefault((case.group, case.cluster.removeprefix(f"{case.group}: ")), []).append(i)
    by_layer = {key: shift[few].mean(0).reshape(len(read.layers), -1) for key, few in members.items()}
    return tuple(TextRow(series=series, text=text, shifts=tuple(tuple(map(float, line)) for line in values))
                 for (series, text), values in by_layer.items())  # fmt: skip


def _separated(asked: Mean, first: Mean, second: Mean, pairs: Pairs, level: float) -> tuple[Separation, ...]:
    apart = benjamini_hochberg((first - second).estimates(level, "nats"))
    place = ((asked - second) / (first - second)).estimates(level, neutral=math.nan)
    return tuple(Separation(layer=layer, target=target, apart=a, place=b)
                 for (layer, target), a, b in zip(pairs, apart, place, strict=True))  # fmt: skip
