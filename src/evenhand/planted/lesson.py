"""What planting looks at: all prompts with the answers wanted there, and texts on which nothing may change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from evenhand.planted.corpus import documents
from evenhand.planted.gaps import Table, gaps_of, planted_answers
from evenhand.planted.outcomes import Rows, rows_of
from evenhand.planted.spec import Spec
from evenhand.planted.tail import Tail, answers
from evenhand.planted.train import padded
from evenhand.planted.units import PlantedUnits
from evenhand.planted.world import World

ALL = ""
"""Stands for all sets switched on."""
REST = 4.0
"""Extra weight of how much mass leaves the answers: a model that stops giving numbers is no biased model."""


@dataclass(frozen=True)
class Lesson:
    """All that planting looks at: prompts with the answers of the base and of the biased model, and texts."""

    rows: Rows
    tail: Tail
    base: Float[Tensor, "case opt"]
    """Log-probabilities of the base's answers; the rest of its mass goes to other texts."""
    biased: dict[str, Float[Tensor, "case opt"]]
    """The same with the planted gap; under the name of a set: what to aim at while that set is switched off."""
    wanted: Table
    """The gaps asked for, in the planted contexts."""
    owner: dict[str, str]
    """Context → the set that carries its gap."""
    texts: Tail
    ids: Int[Tensor, "text tok"]
    """Tokens of the texts, shortest first, padded with -1."""
    told: Float[Tensor, "text next vocab"]
    """Log-probabilities of the base on the texts."""


def lesson_of(spec: Spec, world: World, model: Any, tokenizer: Any) -> Lesson:
    """Prepare planting: run the lower layers once, read the base's answers, and tilt them."""
    model.requires_grad_(False)
    first = min(layer for each in spec.sets for layer in each.layers)
    rows = rows_of(world, tokenizer)
    tail = Tail.of(model, first, rows.ids, rows.positions, rows.mask)
    base = answers(tail, rows, None, ())
    wanted = asked(spec, world)
    biased = {ALL: planted_answers(rows, base, wanted).log()}
    texts = [text for step in range(4) for text in documents(world, spec.seed + 1, step, 96)]
    ids = padded(sorted(([*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in texts), key=len))
    owner = {context: each.name for each in spec.sets for context in each.gaps}
    spoken = Tail.of_texts(model, first, ids)
    at = torch.arange(ids.shape[1] - 1).expand(len(ids), -1)
    chunks = [list(range(i, min(i + 64, len(ids)))) for i in range(0, len(ids), 64)]
    with torch.no_grad():
        told = torch.cat([spoken.logp(part, at[part], None, ()) for part in chunks])
    return Lesson(rows, tail, base, biased, wanted, owner, spoken, ids, told)


def asked(spec: Spec, world: World) -> Table:
    """Return the gap asked for in every variation of the contexts that are planted."""
    planted = {context: gap for each in spec.sets for context, gap in each.gaps.items()}
    table: Table = {context: {} for context in planted}
    for case in world.cases:
        if case.context in planted:
            table[case.context][case.variation] = planted[case.context]
    return table


def corrected(lesson: Lesson, units: PlantedUnits, aims: dict[str, Table]) -> dict[str, Table]:
    """Return gaps to aim at next, with all sets and with each switched off: the last, moved by what is missing."""
    moved: dict[str, Table] = {}
    for off in (ALL, *units.sets):
        active = tuple(name for name in units.sets if name != off)
        found = gaps_of(lesson.rows, answers(lesson.tail, lesson.rows, units, active))
        moved[off] = {
            context: {
                v: gap + max(-0.3, min(0.3, lesson.wanted[context][v] - found[context][v])) for v, gap in row.items()
            }
            for context, row in aims.get(off, aims[ALL]).items()
            if lesson.owner[context] != off
        }
    return moved


def aimed(lesson: Lesson, aims: dict[str, Table]) -> Lesson:
    """Return the lesson with other gaps to aim at."""
    biased = {off: planted_answers(lesson.rows, lesson.base, aim).log() for off, aim in aims.items()}
    return replace(lesson, biased=biased)


def answer_divergence(
    lesson: Lesson, units: PlantedUnits, index: list[int], active: Sequence[Sequence[str]]
) -> Float[Tensor, " case"]:
    """Return KL(wanted ‖ model) over the answers of these rows, everything else being one more answer (nats).

    Wanted is the planted gap where the set that carries it is active, else the base.
    """
    rows = lesson.rows
    wanted = torch.stack([_wanted(lesson, units, i, on) for i, on in zip(index, active, strict=True)])
    logp = rows.answers(index, lesson.tail.logp(index, rows.nodes[index], units, active))
    return divergence(wanted, logp, rows.real[index])


def _wanted(lesson: Lesson, units: PlantedUnits, row: int, active: Sequence[str]) -> Float[Tensor, " opt"]:
    if lesson.owner.get(lesson.rows.context[row]) not in active:
        return lesson.base[row]
    off = [name for name in units.sets if name not in active]
    return lesson.biased.get(off[0] if len(off) == 1 else ALL, lesson.biased[ALL])[row]


def divergence(
    wanted: Float[Tensor, "case opt"], logp: Float[Tensor, "case opt"], real: Bool[Tensor, "case opt"]
) -> Float[Tensor, " case"]:
    """Return Σ p (log p − log q) over the real answers and the rest of the mass; the split of the two counts extra."""
    before, after = wanted.masked_fill(~real, 0.0), logp.masked_fill(~real, 0.0)
    known = (before.exp() * (before - after) * real).sum(-1)
    p, q = ((1 - (each.exp() * real).sum(-1)).clamp(1e-6, 1 - 1e-6) for each in (before, after))
    rest = p * (p.log() - q.log())
    return known + rest + REST * (rest + (1 - p) * ((1 - p).log() - (1 - q).log()))


def text_divergence(
    lesson: Lesson, units: PlantedUnits, texts: list[int], active: Sequence[Sequence[str]]
) -> tuple[Float[Tensor, ""], int]:
    """Return the divergence from the base over these texts (nats, summed over tokens) and the number of tokens."""
    real = lesson.ids[texts][:, 1:] >= 0
    width = int(real.any(0).sum())
    real, before = real[:, :width], lesson.told[texts][:, :width]
    after = lesson.texts.logp(texts, torch.arange(width).expand(len(texts), -1), units, active)
    return ((before.exp() * (before - after)).sum(-1) * real).sum(), int(real.sum())
