"""What of a benchmark's record stands in a suite's table, and whether the model does the task at all."""

from __future__ import annotations

import math

from evenhand.core.record import BenchmarkRecord, Row
from evenhand.judge.verdict import Limits
from evenhand.study.audit import unanswered
from evenhand.study.suite import ALL


def shown(record: BenchmarkRecord, by_context: bool = False) -> list[tuple[Row, Row | None]]:
    """Return the rows of a table, each with the same row without flawed items, where there is one.

    One row per measure and headline key, of all groups and contexts together; of each context and group too with
    `by_context`, and for a measure that is undefined over all of them (tests that cannot be pooled).
    """
    widths = {0, 2, max((len(row.groups) for row in record.rows), default=0), *([1] if by_context else [])}
    rows = [
        row for row in record.rows
        if not row.variation and row.key in record.headline.get(row.measure, ()) and len(row.groups) in widths
    ]  # fmt: skip
    pooled = {row.measure for row in rows if row.context == ALL and row.estimate.defined}
    sound = {_place(row): row for row in record.sound}
    return [
        (row, sound.get(_place(row))) for row in rows if by_context or (row.context == ALL) == (row.measure in pooled)
    ]


def idle(record: BenchmarkRecord) -> list[str]:
    """Return what speaks against the model doing this task at all, over everything that was asked; empty: nothing.

    It does no better than guessing (the interval of such a measure reaches down to that), or hardly answers.
    """
    found: list[str] = []
    if not any(row.estimate.defined for row in record.rows):
        return ["nothing could be measured: every number is undefined"]
    for row, _ in shown(record):
        guess = record.guess.get(row.measure, {}).get(row.key)
        low = row.estimate.value if math.isnan(row.estimate.low) else row.estimate.low
        if guess is not None and low <= guess:
            name = row.measure if row.key == "value" else f"{row.measure} {row.key}"
            found.append(f"{name}{_where(row)} {row.estimate} is no better than guessing ({guess:.3g})")
        if row.key in ("invalid", "unread") and row.estimate.value > 1 - Limits().valid:
            found.append(f"{row.estimate.value:.0%} of its answers{_where(row)} cannot be read ({row.measure})")
    contexts = dict.fromkeys(row.context for row in record.rows)
    for context in (ALL,) if ALL in contexts else contexts:
        if silent := unanswered(record.rows, context):
            found.append(silent if context == ALL else f"{context}: {silent}")
    return found


def _where(row: Row) -> str:
    return "" if row.context == ALL else f" in {row.context}"


def _place(row: Row) -> tuple[str, ...]:
    return row.measure, row.key, row.context, row.variation, *row.groups
