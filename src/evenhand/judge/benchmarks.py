"""What of a benchmark's record stands in a table, and what speaks against reading it as bias or as fairness."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from evenhand.core.estimate import Estimate, is_p
from evenhand.core.record import ALL, UNTRAINED, BenchmarkRecord, Row
from evenhand.judge.answered import unanswered
from evenhand.judge.verdict import Limits

Side = Literal["above", "below", "unsure", "unknown"]


@dataclass(frozen=True)
class Line:
    """One number of a table, and what stands beside it; None where there is no such number."""

    row: Row
    """Of the unedited model; of the edited one where a number only tells what an edit changed."""
    sound: Row | None
    """Without the items known to be bad."""
    edit: Row | None
    change: Row | None
    """The paired difference edited − unedited."""
    untrained: Row | None
    """The same model with random weights."""
    learnt: Row | None
    """The paired difference between the model and that."""
    edit_learnt: Row | None = None
    """The paired difference between the edited model and that."""

    @property
    def name(self) -> str:
        """The measure and, where it has several, the key."""
        return name_of(self.row)

    @property
    def audited(self) -> Row:
        """The number that is judged: the edited model's, where there is an edit."""
        return self.edit or self.row


def shown(record: BenchmarkRecord, by_context: bool = False) -> list[Line]:
    """Return the lines of a table, in the order of the record.

    One line per measure and headline key, of all groups and contexts together; of each context and group too with
    `by_context`, and for a measure that is undefined over all of them (tests that cannot be pooled).
    """
    widths = {0, 2, max((len(row.groups) for row in record.rows), default=0), *([1] if by_context else [])}
    rows: dict[tuple[str, ...], dict[tuple[str, str], Row]] = {}
    for row in record.rows:
        if not row.variation and row.key in record.headline.get(row.measure, ()) and len(row.groups) in widths:
            rows.setdefault(_place(row), {})[row.subject, row.against] = row
    sound = {(_place(row), row.subject, row.against): row for row in record.sound}
    lines: list[Line] = []
    for place, found in rows.items():
        first = found.get(("base", "")) or found["edit", ""]
        change = None if is_p(first.key) else found.get(("edit", "base"))
        lines.append(Line(first, sound.get((place, first.subject, "")), found.get(("edit", "")), change,
                          found.get((UNTRAINED, "")),
                          found.get(("base", UNTRAINED)), found.get(("edit", UNTRAINED))))  # fmt: skip
    pooled = {line.row.measure for line in lines if line.row.context == ALL and line.row.estimate.defined}
    return [line for line in lines if by_context or (line.row.context == ALL) == (line.row.measure in pooled)]


COLUMNS = ("value", "edited", "change", "no bias", "guessing", "random weights", "without flawed items",
           "items / clusters")  # fmt: skip
"""What stands beside a number's name in every table of benchmarks."""


def cells(record: BenchmarkRecord, line: Line, told: Callable[[Estimate], str]) -> tuple[str, ...]:
    """Return the cells of a line under `COLUMNS`; empty where there is no such number."""
    row = line.row
    known = (table.get(row.measure, {}).get(row.key) for table in (record.neutral, record.guess))
    neutral, guess = ("" if value is None else f"{value:.3g}" for value in known)
    value = "" if row.subject == "edit" else told(row.estimate)
    edit, change, untrained, sound = (
        told(each.estimate) if each else "" for each in (line.edit, line.change, line.untrained, line.sound)
    )
    return value, edit, change, neutral, guess, untrained, sound, f"{row.estimate.n:,} / {row.estimate.n_clusters:,}"


def used(head: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return head and rows of a table without the columns that nothing stands in."""
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]
    return tuple(head[i] for i in kept), tuple(tuple(row[i] for i in kept) for row in rows)


def side(record: BenchmarkRecord, row: Row) -> Side | None:
    """Return on which side of the value without bias a number is shown to lie; None where there is no such value.

    `unsure`: its interval holds that value. `unknown`: it has no interval, or is a distance (which has no p): noise
    alone keeps that above 0.
    """
    neutral = record.neutral.get(row.measure, {}).get(row.key)
    if neutral is None:
        return None
    if math.isnan(row.estimate.low) or math.isnan(row.estimate.p):
        return "unknown"
    return "above" if row.estimate.low > neutral else "below" if row.estimate.high < neutral else "unsure"


def idle(record: BenchmarkRecord, subject: str = "base", fallen: bool = False) -> list[str]:
    """Return what speaks against the model doing this task at all, over everything that was asked; empty: nothing.

    It is not shown to be better than guessing (the interval of such a measure reaches down to that), or hardly answers.
    `fallen`: of an edited model, only where the edit is shown to have lowered that measure.
    """
    found: list[str] = []
    levels = [row for row in record.rows if row.subject == subject and not row.against]
    if not any(row.estimate.defined for row in levels):
        return ["nothing could be measured: every number is undefined"]
    for line in shown(record):
        row = line.edit if subject == "edit" else line.row
        if row is None or row.subject != subject:
            continue
        guess = record.guess.get(row.measure, {}).get(row.key)
        low = row.estimate.value if math.isnan(row.estimate.low) else row.estimate.low
        lowered = line.change is not None and line.change.estimate.high < 0
        if guess is not None and low <= guess and (lowered or not fallen):
            found.append(f"{name_of(row)}{_where(row)} {row.estimate} is not shown to be better than guessing "
                         f"({guess:.3g})")  # fmt: skip
        if row.key in ("invalid", "unread") and row.estimate.value > 1 - Limits().valid:
            found.append(f"{row.estimate.value:.0%} of its answers{_where(row)} cannot be read ({row.measure})")
    contexts = dict.fromkeys(row.context for row in levels)
    for context in (ALL,) if ALL in contexts else contexts:
        if silent := unanswered(levels, context):
            found.append(silent if context == ALL else f"{context}: {silent}")
    return found


def broken(record: BenchmarkRecord) -> list[str]:
    """Return what speaks against the edited model doing this task, where the unedited one does it."""
    edited = any(row.subject == "edit" for row in record.rows)
    return idle(record, "edit", fallen=True) if edited and not idle(record) else []


def unlearnt(record: BenchmarkRecord) -> list[str]:
    """Return which numbers look biased and are not shown to be further off, to that side, than random weights'."""
    return [f"{'edited: ' if subject == 'edit' else ''}{line.name}{_where(line.row)} {row.estimate}, "
            f"with random weights {line.untrained.estimate}"
            for subject in ("base", "edit") for line in doubted(record, subject)
            if line.untrained and (row := _of(line, subject))]  # fmt: skip


def doubted(record: BenchmarkRecord, subject: str = "base") -> list[Line]:
    """Return the lines of these numbers, of the unedited model or of the edited one."""
    found: list[Line] = []
    for line in shown(record):
        neutral = record.neutral.get(line.row.measure, {}).get(line.row.key)
        row, learnt = _of(line, subject), line.edit_learnt if subject == "edit" else line.learnt
        if neutral is None or row is None or learnt is None:
            continue
        own, beyond = row.estimate, learnt.estimate
        away = own.low > neutral or own.high < neutral
        if away and not (beyond.low > 0 if own.value > neutral else beyond.high < 0):
            found.append(line)
    return found


def _of(line: Line, subject: str) -> Row | None:
    return line.edit if subject == "edit" else line.row


def name_of(row: Row) -> str:
    """Return the measure and, where it has several, the key."""
    return row.measure if row.key == "value" else f"{row.measure} {row.key}"


def _where(row: Row) -> str:
    return "" if row.context == ALL else f" in {row.context}"


def _place(row: Row) -> tuple[str, ...]:
    return row.measure, row.key, row.context, row.variation, *row.groups
