"""The page of `evenhand explain` as plain values: the units of one edit, and what edits share."""

from __future__ import annotations

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
    model: str
    asked: str
    parts: tuple[Part, ...]
    shared: Shares


def build(parts: Sequence[Explanation], shared: Overlap | None, title: str) -> ExplanationPage:
    """Return everything the page shows."""
    first = parts[0] if parts else None
    return ExplanationPage(
        title,
        words.label(str(first.model.get("source", "model"))) if first else "",
        f"{first.scenario} ({', '.join(first.contexts)}) and {first.neutral}" if first else "",
        tuple(_part(part) for part in parts),
        shares(shared, {i: ("Edits and scores", name) for i, name in enumerate(shared.edits)}, {})
        if shared
        else Shares(),
    )


def _part(part: Explanation) -> Part:
    facts = [(f"Gap in {e.context}, {e.other} names", f"{words.number(e.before)} → {words.number(e.after)} SD")
             for e in part.effects]  # fmt: skip
    if part.divergence == part.divergence:
        facts.append(("Shift of predictions on neutral text", f"{units.small(part.divergence)} nats per token"))
    if part.space:
        facts.append(("Changed", f"{words.count(part.size, f'{part.space} unit')}, {words.percent(part.share)} of all"))
    tokens = ""
    if part.first == part.first:
        tokens = (
            f"Of all tokens read, {words.percent(part.first)} are the first of their text and "
            f"{words.percent(part.delimiters)} delimiters: units far above that carry little that is about words."
        )
    return Part(
        part.describes, tuple(facts), tuple(_layers(part)), tuple(units.told(part.units, part.random_change)),
        units.yardstick(part.random_change, part.random_divergence), tokens,
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
