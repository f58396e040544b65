"""How the training of an edit went, step by step: every term by itself, the gradient, and what the guards saw."""

from __future__ import annotations

import math
from itertools import chain

from evenhand.core.trained import TrainingRecord
from evenhand.report import words
from evenhand.report.tables import EMPTY, Table

_MOST = 24
"""Steps that are shown; the record has them all."""


def went(training: TrainingRecord | None) -> Table:
    """Return some steps of a training in order, with the one that was rolled back to; empty without one."""
    if training is None:
        return EMPTY
    looks: dict[int, dict[str, float]] = {}
    for look in training.looks:
        looks.setdefault(look.step, {}).update(look.numbers)
    terms = list(dict.fromkeys(chain.from_iterable(line.terms for line in training.log)))
    seen = list(dict.fromkeys(chain.from_iterable(looks.values())))
    lines = {line.step: line for line in training.log}
    rows: list[tuple[str, ...]] = []
    for step in _shown(training, sorted({*lines, *looks})):
        line, look = lines.get(step), looks.get(step, {})
        values = [line.terms.get(name, math.nan) if line else math.nan for name in terms]
        values += [line.total, line.norm, line.lr] if line else [math.nan] * 3
        values += [look.get(name, math.nan) for name in seen]
        back = " (rolled back to)" if training.stopped and step == training.best else ""
        rows.append((f"{step}{back}", *("" if math.isnan(value) else words.figure(value) for value in values)))
    head = ("step", *terms, "their weighted sum", "norm of the gradient", "learning rate", *seen)
    return Table("How the training went", head, tuple(rows))


def _shown(training: TrainingRecord, steps: list[int]) -> list[int]:
    """So many steps, evenly apart, with the first, the last and the one that counts."""
    apart = max(1, math.ceil(len(steps) / (_MOST - 2)))
    kept = {*steps[::apart], steps[-1], training.best} if steps else set[int]()
    return [step for step in steps if step in kept]
