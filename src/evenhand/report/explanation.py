"""The page of `evenhand explain` as plain values: the units of one edit, and what edits share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from evenhand.core.explained import Explanation, Overlap
from evenhand.report import units, words
from evenhand.report.overlap import Shares, shares
from evenhand.report.tables import EMPTY, Table
from evenhand.report.units import Unit


@dataclass(frozen=True)
class Layer:
    """How many units of a layer are changed; `width` is the length of its bar in per cent."""

    name: str
    count: int
    size: int
    width: int


@dataclass(frozen=True)
class Part:
    """One part of an edit."""

    describes: str
    noun: str
    """What its units are called."""
    facts: tuple[tuple[str, str], ...]
    layers: tuple[Layer, ...]
    units: tuple[Unit, ...]
    yardstick: str
    tokens: str
    matrices: Table
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ExplanationPage:
    """What the template needs."""

    title: str
    lead: str
    """What the page holds, no more."""
    asked: str
    """What it was measured on; empty where nothing was."""
    parts: tuple[Part, ...]
    shared: Shares


def build(parts: Sequence[Explanation], shared: Overlap | None, title: str) -> ExplanationPage:
    """Return everything the page shows."""
    return ExplanationPage(
        title,
        _lead(parts),
        _asked(parts),
        tuple(_part(part) for part in parts),
        shares(shared, {i: ("Edits and scores", name) for i, name in enumerate(shared.edits)}, {})
        if shared
        else Shares(),
    )


def _lead(parts: Sequence[Explanation]) -> str:
    """Only what was done is promised."""
    if not parts:
        return ""
    told: list[str] = []
    if any(part.effects for part in parts):
        told.append("what it does to the gaps between groups")
    if any(part.answers for part in parts):
        told.append("what it does to the right answers")
    if any(not math.isnan(part.divergence) for part in parts):
        told.append("how far it moves the model on neutral text")
    if units_ := [unit for part in parts for unit in part.units]:
        told += ["the words its units write"] if any(unit.promotes for unit in units_) else []
        told += ["the text that drives its units", "what each of them does alone"]
    if any(part.matrices for part in parts):
        told.append("where its weights lie")
    model = words.label(str(parts[0].model.get("source", "the model")))
    return f"This edit of {model}: {words.listing(told, len(told))}." if told else f"An edit of {model}."


def _asked(parts: Sequence[Explanation]) -> str:
    """What was measured on what, and whether it was fitted on that."""
    measured = next((part for part in parts if part.effects or part.answers), None)
    texts = next((part.neutral for part in parts if not math.isnan(part.divergence)), "")
    if measured is None:
        return f"Neutral text: {texts}." if texts else ""
    most = (f"{measured.names} names of each group and variation" if measured.effects
            else f"{measured.questions} questions of each use case")  # fmt: skip
    said = (f"Measured on {measured.scenario} ({', '.join(measured.contexts)}), at most {most}"
            f"{f', and on {texts}' if texts else ''}.")  # fmt: skip
    scale = ("Gaps are read from the likeliest answers, so they differ from those of a study's verdict."
             if measured.effects else "Log-probabilities are among the options of a question.")  # fmt: skip
    return f"{said} {scale} {measured.read_on}".strip()


def _whole(part: Explanation) -> list[tuple[str, str]]:
    """What the whole part does, beside a random edit of its size."""
    random = {(e.context, e.other): f"; a random edit of this size → {words.number(e.after)}" for e in part.control}
    facts = [(f"Gap in {e.context}, {e.other} names",
              f"{words.number(e.before)} → {words.number(e.after)} SD{random.get((e.context, e.other), '')}")
             for e in part.effects]  # fmt: skip
    chance = {e.context: f"; a random edit → {words.percent(e.right_after)}, {words.number(e.after, 3)} nats"
              for e in part.control_answers}  # fmt: skip
    facts += [(f"Right answers in {e.context}", units.answers(e) + chance.get(e.context, "")) for e in part.answers]
    if not math.isnan(part.divergence):
        beside = (
            "" if math.isnan(part.control_divergence) else f"; a random edit {units.small(part.control_divergence)}"
        )
        facts.append(("Shift of predictions on neutral text", f"{units.small(part.divergence)} nats per token{beside}"))
    return facts


def _part(part: Explanation) -> Part:
    tokens = ""
    if part.first == part.first:
        tokens = (
            f"Of all tokens read, {words.percent(part.first)} are the first of their text and "
            f"{words.percent(part.delimiters)} delimiters: a unit far above that may follow the "
            "place of a token more than its words."
        )
    return Part(
        part.describes, "weights" if part.space == "weight" else f"{part.space} units", tuple(_whole(part)),
        tuple(_layers(part)), tuple(units.told(part.units, part.random_change)),
        units.yardstick(part.random_units, part.random_change, part.random_answer, part.random_divergence), tokens,
        units.crowded(part.matrices) if part.matrices else EMPTY, part.notes,
    )  # fmt: skip


def _layers(part: Explanation) -> list[Layer]:
    """Every layer with its share of the changed units; stacks are named where there are several."""
    stacks = [stack for stack, _ in groupby(name.rsplit(".", 1)[0] for name in part.per_layer)]
    most = max(part.per_layer.values(), default=0)
    return [
        Layer(name if len(stacks) > 1 else name.rsplit(".", 1)[1], count, part.layer_sizes.get(name, 0),
              round(100 * count / most) if most else 0)
        for name, count in part.per_layer.items()
    ]  # fmt: skip
