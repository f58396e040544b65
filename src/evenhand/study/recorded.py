"""From answers to the record of a benchmark: the numbers of every subject, and what they are to be set against."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

from evenhand.core.bootstrap import Bootstrap
from evenhand.core.declared import alternatives_of, beside_unedited, guess_of, headline_of, neutral_of, unit_of
from evenhand.core.measure import Measure, Subject
from evenhand.core.measuring import measure
from evenhand.core.readout import Readout
from evenhand.core.record import ALL, UNTRAINED, BenchmarkRecord, BenchmarkSpec, Row
from evenhand.core.scenario import Scenario

Answers = Mapping[str, Sequence[Readout]]
"""Subject (base, edit, untrained) → its readouts, one per kind of outcome in the same order."""


def recorded(
    spec: BenchmarkSpec, scenario: Scenario, measures: dict[str, Measure], answers: Answers, bootstrap: Bootstrap
) -> BenchmarkRecord:
    """Return the record of a benchmark: every number with its interval, with and without the flawed items."""
    flawed = sum(bool(case.flaw) for case in scenario.cases)
    rows = _rows(measures, answers, bootstrap, scenario.pooled)
    return BenchmarkRecord(
        spec=spec,
        rows=rows,
        sound=_rows(measures, _sound(answers), bootstrap, scenario.pooled) if flawed else (),
        headline={name: _headline(each, [row for row in rows if row.measure == name])
                  for name, each in measures.items()},
        neutral=_by_key(rows, lambda row: _no_bias(measures[row.measure], row.key)),
        ends={name: found for name, each in measures.items()
              if (found := _ends(each, [row.key for row in rows if row.measure == name]))},
        guess=_by_key(rows, lambda row: _guess(measures[row.measure], row.key, answers["base"])),
        cases=len(scenario.cases),
        flawed=flawed,
        licence=scenario.licence,
        citation=scenario.citation,
    )  # fmt: skip


def _sound(answers: Answers) -> Answers:
    """Return the answers to the cases that have no flaw; kinds of outcome left empty are dropped."""
    kept = {name: [each.where(lambda case: not case.flaw) for each in readouts] for name, readouts in answers.items()}
    return {name: [each for each in readouts if len(each)] for name, readouts in kept.items()}


def _no_bias(each: Measure, key: str) -> float | None:
    """Return the value that means no bias; what tells how far an edit moved a model has one that means no change."""
    return None if beside_unedited(each) else neutral_of(each, key)


def _guess(each: Measure, key: str, readouts: Sequence[Readout]) -> float | None:
    """Return what guessing gives among the options of the answers that a measure is read from."""
    return next((guess_of(each, key, readout) for readout in readouts if readout.kind in each.kinds), None)


def _headline(each: Measure, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the keys to show; of conventions of which some are not for every model, those with a value."""
    keys = headline_of(each, dict.fromkeys(row.key for row in rows))
    known = {row.key for row in rows if row.estimate.defined}
    return tuple(key for key in keys if key in known) or keys if alternatives_of(each) else keys


def _ends(each: Measure, keys: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return the range of the main value, for every key with the same neutral value and the same unit."""
    return {key: each.range for key in keys
            if each.range is not None and neutral_of(each, key) == each.neutral and unit_of(each, key) == each.unit
            and not key.endswith(".abs")}  # fmt: skip


def _by_key(rows: Sequence[Row], value: Callable[[Row], float | None]) -> dict[str, dict[str, float]]:
    """Measure → key → a number, of keys that have one."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        known = value(row)
        if known is not None and not math.isnan(known):
            found.setdefault(row.measure, {})[row.key] = known
    return found


def _rows(measures: dict[str, Measure], answers: Answers, bootstrap: Bootstrap, pooled: bool) -> tuple[Row, ...]:
    rows: list[Row] = []
    for each in zip(*answers.values(), strict=True):
        readouts = dict(zip(answers, each, strict=True))
        rows += _of_kind(measures, readouts, bootstrap)
        if pooled and len({case.context for case in readouts["base"].cases}) > 1:
            together = {name: _pooled(readout) for name, readout in readouts.items()}
            rows += _of_kind(measures, together, bootstrap)
    return tuple(rows)


def _of_kind(measures: dict[str, Measure], readouts: Mapping[str, Readout], bootstrap: Bootstrap) -> list[Row]:
    """Return the levels of every subject, what the edit changed, and what either has beyond random weights."""
    alone = {name: each for name, each in measures.items() if not beside_unedited(each)}
    base = Subject("base", readouts["base"])
    subjects, rows = [base], list(measure(alone, base, bootstrap))
    if "edit" in readouts:
        edit = Subject("edit", readouts["edit"], base.readout)
        subjects.append(edit)
        rows += (*measure(measures, edit, bootstrap), *measure(alone, edit, bootstrap, base))
    if UNTRAINED in readouts:
        fresh = Subject(UNTRAINED, readouts[UNTRAINED])
        rows += measure(alone, fresh, bootstrap)
        rows += [row for subject in subjects for row in measure(alone, subject, bootstrap, fresh)]
    return rows


def _pooled(readout: Readout) -> Readout:
    """Return the same answers as if all contexts were one."""
    cases = tuple(dataclasses.replace(case, context=ALL) for case in readout.cases)
    return dataclasses.replace(readout, cases=cases)
