"""The numbers of benchmarks that have a value without bias: what each shows, and where it lies on a line of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evenhand.core.estimate import Estimate
from evenhand.core.record import ALL, UNTRAINED, BenchmarkRecord, Row
from evenhand.judge.benchmarks import Line, Side, doubted, idle, shown, side
from evenhand.judge.verdict import Tone
from evenhand.report import words

SUBJECTS = {"base": "unedited", "edit": "edited", UNTRAINED: "random weights"}
CHIPS: dict[Side, tuple[Tone, str]] = {
    "above": ("bad", "above “no bias”"),
    "below": ("bad", "below “no bias”"),
    "unsure": ("none", "not shown to be away"),
    "unknown": ("none", "cannot be told"),
}


@dataclass(frozen=True)
class State:
    """One number of one model: the unedited or edited one, or random weights."""

    subject: str
    text: str
    tone: Tone
    label: str
    """What it shows; empty of random weights, which are only a yardstick."""
    dot: float
    """Where on the line, in percent from its left end; “no bias” is at 50. NaN where undefined."""
    left: float
    right: float
    """The ends of the interval on the line."""

    @property
    def off(self) -> bool:
        """Whether it is shown to lie away from “no bias”, of a model that does the task, as something learnt."""
        return self.tone == "bad"

    @property
    def silent(self) -> bool:
        """Whether nothing can be said, because the model does not do the task."""
        return self.label == SILENT


SILENT = "no statement"
UNLEARNT = "not shown to be learnt"


@dataclass(frozen=True)
class Number:
    """One number on its line."""

    name: str
    neutral: str
    ends: tuple[str, str]
    """What the two ends of the line stand for."""
    bounded: bool
    """Whether the number cannot lie beyond them."""
    states: tuple[State, ...]
    moved: str = ""
    """What the edit is shown to have changed, in words; empty where nothing."""

    def of(self, subject: str) -> State | None:
        """Return the number of one subject."""
        return next((state for state in self.states if state.subject == subject), None)


def numbers(record: BenchmarkRecord) -> list[Number]:
    """Return the numbers of the table that have a value without bias; those that only tell what an edit did have none.

    Each has a line with that value in the middle. A bounded number's line ends where the number does; another's where
    the widest interval of its measure in this benchmark does.
    """
    every = shown(record)
    lines = [line for line in every if line.row.subject == "base" and side(record, line.row)]
    silent = {subject: bool(idle(record, subject)) for subject in ("base", "edit")}
    unlearnt = [*(line.row for line in doubted(record)), *(line.edit for line in doubted(record, "edit"))]
    able = not any(silent.values())
    found: list[Number] = []
    for line in lines:
        far, bounded = _reach(record, line, lines)
        neutral = record.neutral[line.row.measure][line.row.key]
        states = [
            _state(row, _chip(record, row, silent.get(row.subject, False), line.row in unlearnt), neutral, far)
            for row in (line.row, line.edit, line.untrained) if row
        ]  # fmt: skip
        ends = (mark(neutral - far), mark(neutral + far))
        moved = _moved(line, neutral) if able else ""
        found.append(Number(title(line, several(every)), mark(neutral), ends, bounded, tuple(states), moved))
    return found


def several(lines: Sequence[Line]) -> bool:
    """Return whether the context of a number has to be told."""
    return len({line.row.context for line in lines}) > 1


def title(line: Line, context: bool) -> str:
    """Return what a number is called: measure, key, context where it has to be told, and the groups compared."""
    row = line.row
    groups = " / ".join(row.groups) if len(row.groups) in (1, 2) else ""  # otherwise of all groups together
    key = "" if row.key == "value" else row.key.replace("_", " ").replace(".", ", ")
    where = row.context if context and row.context != ALL else ""
    return " · ".join(filter(None, (row.measure.replace("_", " "), key, where, groups)))


def amount(estimate: Estimate) -> str:
    """Return a number of any size with its interval and unit: `35.3 % (30.6 to 40.0)`."""
    if not estimate.defined:
        return words.UNDEFINED
    unit = f"\u00a0{estimate.unit}" if estimate.unit else ""
    ends = "" if math.isnan(estimate.low) else f" ({figure(estimate.low)}\u00a0to\u00a0{figure(estimate.high)})"
    return f"{figure(estimate.value)}{unit}{ends}"


def figure(value: float) -> str:
    """Return three significant figures; a power of ten for what is tiny, and 0 for what rounding leaves of it."""
    if not 0 < abs(value) < 1e-4:
        return words.figure(value)
    if abs(value) < 1e-12:
        return "0"
    digits, power = f"{value:.2e}".split("e")
    return f"{digits} × 10{str(int(power)).translate(_RAISED)}".replace("-", "−").replace(" ", "\u00a0")


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _reach(record: BenchmarkRecord, line: Line, lines: Sequence[Line]) -> tuple[float, bool]:
    """Return how far the line of a number goes to either side, and whether the number can go no further."""
    measure, key = line.row.measure, line.row.key
    neutral = record.neutral[measure][key]
    if known := record.ends.get(measure, {}).get(key):
        return max(abs(end - neutral) for end in known), True
    rows = [row for each in lines if (each.row.measure, each.row.key) == (measure, key)
            for row in (each.row, each.edit, each.untrained) if row]  # fmt: skip
    ends = [abs(end - neutral) for row in rows for end in (row.estimate.value, row.estimate.low, row.estimate.high)]
    most = max((end for end in ends if math.isfinite(end)), default=0.0)
    return _round_up(most), False


def _round_up(value: float) -> float:
    """Return the next 1, 2 or 5 with zeros, so that the ends of a line are numbers that people read."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def _state(row: Row, chip: tuple[Tone, str], neutral: float, far: float) -> State:
    ends = (row.estimate.value, row.estimate.low, row.estimate.high)
    return State(row.subject, amount(row.estimate), *chip, *(50 + 50 * (end - neutral) / far for end in ends))


def mark(value: float) -> str:
    """Return a number under a line, without zeros that mean nothing."""
    return f"{value:.3g}".replace("-", "−")


def _moved(line: Line, neutral: float) -> str:
    """Return what an edit changed, where that is shown; the same number with random weights plays no part."""
    if not line.edit or not line.change or not line.change.estimate.excludes(0.0):
        return ""
    before, after = line.row.estimate, line.edit.estimate
    closer = abs(after.value - neutral) < abs(before.value - neutral)
    return (
        f"{figure(before.value)} → {figure(after.value)}, {'closer to' if closer else 'further from'} "
        f"“no bias” ({mark(neutral)}); change {amount(line.change.estimate)}"
    )


def _chip(record: BenchmarkRecord, row: Row, silent: bool, unlearnt: bool) -> tuple[Tone, str]:
    """Return what a number shows."""
    if row.subject == UNTRAINED:
        return "none", ""
    if silent:
        return "none", SILENT
    at = side(record, row) or "unknown"
    return ("mixed", UNLEARNT) if unlearnt and at in ("above", "below") else CHIPS[at]
