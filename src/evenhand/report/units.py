"""Edited units as the page tells of them, and where single weights crowd."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evenhand.core.explained import AnswerEffect, Driver, GapEffect, MatrixRecord, UnitRecord
from evenhand.report import words
from evenhand.report.tables import Table


@dataclass(frozen=True)
class Spot:
    """A token at which a unit is most active, in its text."""

    where: str
    before: str
    token: str
    after: str
    value: str


@dataclass(frozen=True)
class Unit:
    """One unit with all that is said of it."""

    name: str
    change: str
    """What it does to the gaps alone, in few words."""
    tone: str
    """fell, rose or none: which way, where there is a change to tell of and it is more than a random unit does."""
    towards: tuple[str, ...]
    away: tuple[str, ...]
    mixed: bool
    """Whether it pushes either way, so that neither side is the one."""
    sign: str
    """Why the words are the way round they are."""
    facts: tuple[tuple[str, str], ...]
    spots: tuple[Spot, ...]


def told(units: Sequence[UnitRecord], random_change: float) -> list[Unit]:
    """Return the units of which more than their words is known, those that do most to the gaps first."""
    several = len({unit.stack for unit in units}) > 1
    known = sorted((unit for unit in units if unit.drivers), key=lambda unit: -unit.size)
    return [_unit(unit, several, random_change) for unit in known]


def _unit(unit: UnitRecord, several: bool, random_change: float) -> Unit:
    towards, away = (tuple(words.token(token) for token in few) for few in unit.pushes)
    stack = f"{unit.stack} " if several else ""
    return Unit(
        f"{stack}layer {unit.home}, unit {unit.unit}", _change(unit), _tone(unit.change, random_change), towards, away,
        unit.mixed, _sign(unit), tuple(_facts(unit)), tuple(_spot(each) for each in unit.drivers),
    )  # fmt: skip


def _change(unit: UnitRecord) -> str:
    if math.isnan(unit.change) and not math.isnan(unit.answer):
        way = "likelier" if unit.answer > 0 else "less likely"
        return (
            f"makes right answers {way} by {small(abs(unit.answer))} nats"
            if unit.answer
            else "leaves right answers as they are"
        )
    if math.isnan(unit.change):
        return "effect on the gap not measured"
    verb = "closes" if unit.change < 0 else "widens"
    if _level(unit.change):
        return f"leaves the gap as it is{_alike(unit)}"
    return f"{verb} the gap by {words.number(abs(unit.change))} SD"


def _alike(unit: UnitRecord) -> str:
    """That it moves every group one way, which no gap shows; the smallest of the moves."""
    moves = [each.change for each in unit.outcomes]
    least = min(map(abs, moves), default=0.0)
    if round(least, 2) == 0 or len({move > 0 for move in moves}) > 1:
        return ""
    return f", {'raises' if moves[0] > 0 else 'lowers'} every group's outcome by {words.number(least)} SD or more"


def _tone(change: float, random_change: float) -> str:
    """Which way, where it is told of as a change and is beyond what the random units did, which must be known."""
    if _level(change) or not abs(change) > random_change:
        return "none"
    return "fell" if change < 0 else "rose"


def _level(change: float) -> bool:
    """Whether the gap is said to stay as it is: the change is 0 as it is shown."""
    return round(abs(change), 2) == 0


def _sign(unit: UnitRecord) -> str:
    if not unit.promotes or math.isnan(unit.positive):
        return ""
    side, share = ("negative", 1 - unit.positive) if unit.positive < 0.5 else ("positive", unit.positive)
    if unit.mixed:
        return f"Its activation has both signs: {words.percent(share)} of it is {side}, where it pushes to the former."
    return f"Its activation is {side} ({words.percent(share)} of it), so these are the words it pushes towards."


def _facts(unit: UnitRecord) -> list[tuple[str, str]]:
    rows = [(f"Gap in {e.context}, {e.other} names, it alone edited", _effect(e)) for e in unit.effects]
    rows += [(f"Right answers in {e.context}, it alone edited", answers(e)) for e in unit.answers]
    for context in dict.fromkeys(each.context for each in unit.outcomes):
        moves = [f"{each.group} {words.number(each.change, sign=True)}"
                 for each in unit.outcomes if each.context == context]  # fmt: skip
        rows.append((f"Change of each group's outcome in {context}, it alone edited", f"{', '.join(moves)} SD"))
    if not math.isnan(unit.divergence):
        rows.append(("Shift of predictions on neutral text", f"{small(unit.divergence)} nats per token"))
    rows += [(f"Mean activation, {group} names", words.figure(value)) for group, value in unit.groups.items()]
    rows += [(f"Difference to {other} names", words.estimate(value)) for other, value in unit.differences.items()]
    if not math.isnan(unit.neutral):
        rows.append(("Mean activation, neutral text", words.figure(unit.neutral)))
    if not math.isnan(unit.first):
        rows.append(("Activation on first tokens, on delimiters",
                     f"{words.percent(unit.first)}, {words.percent(unit.delimiters)}"))  # fmt: skip
    return rows


def _effect(effect: GapEffect) -> str:
    return f"{words.number(effect.before)} → {words.number(effect.after)} SD"


def answers(effect: AnswerEffect) -> str:
    """Return the share of right answers and their log-probability, before and after."""
    return (f"{words.percent(effect.right_before)} → {words.percent(effect.right_after)}, log-probability "
            f"{words.number(effect.before, 3)} → {words.number(effect.after, 3)} nats")  # fmt: skip


def small(value: float) -> str:
    """Return a divergence with four decimals, and never as 0 where it is not."""
    return "under 0.0001" if 0 < value < 0.0001 else words.number(value, 4)


def _spot(each: Driver) -> Spot:
    before, token, after = (
        text.replace("\n", "⏎").replace("\t", "⇥") for text in (each.before, each.token, each.after)
    )
    return Spot(each.where, before.lstrip(), token or "(empty)", after, words.figure(each.value))


def yardstick(n: int, change: float, answer: float, divergence: float) -> str:
    """Return the most that `n` random units (0: not recorded how many) do, each alone; empty where none was tried."""
    if math.isnan(divergence):
        return ""
    those = words.count(n, "random unit") if n else "random units"
    gap = "" if math.isnan(change) else f"the largest change of the gap is {words.figure(change)} SD and "
    if not math.isnan(answer):
        gap += f"the largest change of the right answers' log-probability {small(answer)} nats and "
    shift = f"the largest shift of neutral text {words.figure(divergence)} nats per token"
    return f"Of {those} of the same layers, each alone, {gap}{shift}."


def crowded(matrices: Sequence[MatrixRecord]) -> Table:
    """Where the changed weights of an edit lie: matrices, and how few rows and columns hold them."""
    rows = tuple(
        (each.path, f"{each.entries:,}", words.percent(each.entries / (each.rows * each.columns)),
         f"{each.rows_hit:,} of {each.rows:,}", f"{each.columns_hit:,} of {each.columns:,}",
         words.percent(each.crowded_rows), words.percent(each.crowded_columns),
         ", ".join(f"{column} ({n:,})" for column, n in each.top_columns[:3]))
        for each in matrices
    )  # fmt: skip
    head = ("matrix", "changed weights", "of all", "rows hit", "columns hit", "in the fullest 1 % of rows",
            "in the fullest 1 % of columns", "fullest columns")  # fmt: skip
    return Table("Where the changed weights are", head, rows)
