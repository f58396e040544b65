"""Which edits change the same units: a map of every two, and what makes them alike, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evenhand.core.explained import Overlap, Shared
from evenhand.core.record import CellRef
from evenhand.report import words
from evenhand.report.tables import EMPTY, Table


@dataclass(frozen=True)
class Square:
    """Two edits in the map."""

    text: str
    shade: int
    """Jaccard in per cent, for the colour."""
    hover: str


@dataclass(frozen=True)
class Map:
    """Edits over the same units, every two of them."""

    title: str
    names: tuple[str, ...]
    rows: tuple[tuple[Square | None, ...], ...]
    """Square by square, in the order of `names`; None on the diagonal."""


@dataclass(frozen=True)
class Shares:
    """What the page says of shared units."""

    maps: tuple[Map, ...] = ()
    summary: Table = EMPTY
    ranks: Table = EMPTY


def shares(found: Overlap, names: Mapping[int, tuple[str, str]], refs: Mapping[int, CellRef]) -> Shares:
    """Return the maps, one for each title; `names` gives, by place, the title an edit stands under and its name.

    `refs` tell what two edits of a run have in common, for the summary; empty for edits that come from anywhere.
    """
    pairs = {(pair.a, pair.b): pair for pair in found.pairs}
    maps: list[Map] = []
    for title in dict.fromkeys(title for title, _ in names.values()):
        few = [i for i, (own, _) in names.items() if own == title]
        known = [i for i in few if any(i in pair and (set(pair) - {i}) <= set(few) for pair in pairs)]
        if len(known) > 1:
            squares = tuple(tuple(_square(found, pairs, names, i, j) for j in known) for i in known)
            maps.append(Map(title, tuple(names[i][1] for i in known), squares))
    return Shares(tuple(maps), _summary(found, refs), _ranks(found, names))


def _square(
    found: Overlap, pairs: Mapping[tuple[int, int], Shared], names: Mapping[int, tuple[str, str]], i: int, j: int
) -> Square | None:
    pair = pairs.get((min(i, j), max(i, j)))
    if pair is None:
        return None
    value = pair.jaccard
    text = "–" if math.isnan(value) else f"{100 * value:.0f}"
    hover = (
        f"{names[i][1]} and {names[j][1]}: {words.count(pair.both, 'unit')} shared of {found.sizes[i]:,} and "
        f"{found.sizes[j]:,}, overlap {words.percent(value)}, by chance {words.percent(pair.chance)}"
    )
    return Square(text, 0 if math.isnan(value) else round(100 * value), hover)


KINDS: dict[tuple[str, ...], str] = {
    ("method",): "another method, same use case and seed",
    ("fitted",): "another use case, same method and seed",
    ("seed",): "another seed, same method and use case",
}


def _summary(found: Overlap, refs: Mapping[int, CellRef]) -> Table:
    """Mean overlap of edits that differ in one thing only, beside what chance gives; the random method is left out."""
    told: dict[str, list[Shared]] = {}
    for pair in found.pairs:
        if pair.a not in refs or pair.b not in refs:
            continue
        a, b = refs[pair.a], refs[pair.b]
        if "random" in (a.method, b.method) or math.isnan(pair.jaccard):
            continue
        differs = [name for name, same in (
            ("method", a.method == b.method),
            ("fitted", (a.fitted_on, a.variations, a.protocol) == (b.fitted_on, b.variations, b.protocol)),
            ("seed", a.seed == b.seed),
        ) if not same]  # fmt: skip
        if kind := KINDS.get(tuple(differs)):
            told.setdefault(kind, []).append(pair)
    rows = tuple(
        (kind, f"{len(told[kind]):,}", words.percent(_mean([p.jaccard for p in told[kind]])),
         words.percent(_mean([p.chance for p in told[kind]])),
         f"{sum(p.p < 0.05 for p in told[kind]):,} of {len(told[kind]):,}")
        for kind in KINDS.values() if kind in told
    )  # fmt: skip
    head = ("two edits with", "pairs", "mean overlap", "by chance", "pairs that share more than chance (p < 0.05)")
    return Table("What makes edits alike", head, rows)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _ranks(found: Overlap, names: Mapping[int, tuple[str, str]]) -> Table:
    rows = tuple(
        (names[i][1], names[j][1], words.number(value))
        for i, j, value in found.correlations
        if i in names and j in names
    )
    return Table("Rank correlation of scores (Spearman)", ("scores", "and", "correlation"), rows)
