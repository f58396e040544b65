"""What edits did beyond their controls: every method with controls, over all its seeds, in every place measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from evenhand.core.asked import Asked, Entry
from evenhand.core.bootstrap import Bootstrap, benjamini_hochberg
from evenhand.core.compared import Beyond, Compared, Where
from evenhand.core.estimate import Estimate
from evenhand.core.measure import Measure, Subject
from evenhand.core.readout import Readout
from evenhand.core.record import CellRecord, CellSpec
from evenhand.core.repeated import Repeated, repeated
from evenhand.core.scenario import Scenario
from evenhand.edits._file import load
from evenhand.study.bench import Bench
from evenhand.study.config import MethodConfig
from evenhand.study.evidence import measures_of
from evenhand.study.grid import Fit, Made, fits, spec
from evenhand.study.readings import labelled, read_edits


@dataclass(frozen=True)
class Trial:
    """A method fitted in one place, and its controls: of each the cells by seed."""

    asked: Asked
    edit: tuple[CellSpec, ...]
    controls: dict[str, tuple[CellSpec, ...]]


def trials(bench: Bench, made: Made) -> list[Trial]:
    """Return what is to be set against controls, in the order of the study."""
    config = bench.config

    def cells(entry: Entry, fit: Fit) -> tuple[CellSpec, ...]:
        method = MethodConfig.model_validate(entry)
        return tuple(spec(config, made, method, fit, seed) for seed in config.seeds)

    return [
        Trial(
            each,
            cells(each.entry, fit),
            {label: cells(entry, fit) for label, entry in each.controls.items()},
        )
        for each in config.asked
        if each.controls
        for fit in fits(config, bench.scenario)
    ]


def compared(bench: Bench, trial: Trial, records: Mapping[str, CellRecord]) -> Compared | None:
    """Set an edit against its controls in the seeds where all are finished; None where there is no such seed."""
    every = (trial.edit, *trial.controls.values())
    seeds = [i for i in range(len(trial.edit)) if all(cells[i].hash in records for cells in every)]
    if not seeds:
        return None
    first = trial.edit[0]
    numbers: list[Beyond] = []
    for scenario, names in (
        (bench.scenario, bench.config.measures),
        (bench.utility, bench.config.utility_measures),
    ):
        said = Said(
            base=[bench.base(trial.edit[i], scenario, "report") for i in seeds],
            edit=[_answers(bench, trial.edit[i], records, scenario) for i in seeds],
            controls={label: [_answers(bench, cells[i], records, scenario) for i in seeds]
                      for label, cells in trial.controls.items()},
        )  # fmt: skip
        for number in _numbers(measures_of(bench.config, names), said, bench.bootstrap(first)):
            place = where(trial, scenario.groups, number) if scenario is bench.scenario else "general"
            numbers.append(number.model_copy(update={"where": place}))
    return Compared(
        model=first.model,
        method=first.method,
        place=trial.asked.place,
        settings=trial.asked.entry["settings"],
        varied=trial.asked.varied,
        fitted_on=first.fitted_on,
        variations=first.variations,
        protocol=first.protocol,
        seeds=tuple(trial.edit[i].seed for i in seeds),
        cells=tuple(trial.edit[i].hash for i in seeds),
        controls={label: tuple(cells[i].hash for i in seeds) for label, cells in trial.controls.items()},
        idle={label: n for label, cells in {"": trial.edit, **trial.controls}.items()
              if (n := sum(not records[cells[i].hash].edit for i in seeds))},
        numbers=tuple(numbers),
    )  # fmt: skip


def corrected(found: Sequence[Compared]) -> tuple[Compared, ...]:
    """Return the comparisons with q: one table is one measure and key of one method on one model, in places alike."""
    tables: dict[tuple[object, ...], list[tuple[int, int]]] = {}
    for i, each in enumerate(found):
        for j, number in enumerate(each.numbers):
            key = (str(each.model), each.place, number.measure, number.key, number.where)
            tables.setdefault(key, []).append((i, j))
    table = [list(each.numbers) for each in found]
    for places in tables.values():
        ps = [Estimate(value=math.nan, p=table[i][j].p) for i, j in places]
        for (i, j), estimate in zip(places, benjamini_hochberg(ps), strict=True):
            table[i][j] = table[i][j].model_copy(update={"q": estimate.q})
    return tuple(each.model_copy(update={"numbers": tuple(row)}) for each, row in zip(found, table, strict=True))


def where(trial: Trial, groups: Sequence[str], number: Beyond) -> Where:
    """Return whether a number of the scenario is about what an edit was fitted to.

    Where its setting `groups`, or one that is varied, names groups of the scenario, it was fitted to those; a number of
    these alone, or that sets one of them against the reference, is its own. Otherwise it was fitted to its contexts.
    """
    settings = trial.asked.entry["settings"]
    named = _texts([*trial.asked.varied.values(), settings.get("groups", ())]) & set(groups)
    if not named or named == set(groups):
        return "own" if number.context in trial.edit[0].fitted_on else "other"
    about = set(number.groups)
    compares = len(about) == 2 < len(groups)
    if about <= named or (compares and number.groups[1] in named):
        return "own"
    return "mixed" if about & named else "other"


def _texts(values: Iterable[object]) -> set[str]:
    """Every text among values, however they are nested."""
    found: set[str] = set()
    for value in values:
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, list | tuple):
            found |= _texts(cast("Iterable[object]", value))
    return found


def _answers(
    bench: Bench, cell: CellSpec, records: Mapping[str, CellRecord], scenario: Scenario
) -> list[Readout]:  # fmt: skip
    """What an edited model said on the report part: kept when the cell was computed, or read again with its edit."""
    record = records[cell.hash]
    if not record.edit:
        return bench.base(cell, scenario, "report")
    part = bench.part(scenario, "report", cell.seed)

    def again() -> list[Readout]:
        edit = load(bench.store.folder / record.edit).on(bench.lm)
        progress = labelled(bench.progress, f"once more, {scenario.name}")
        return read_edits(bench.lm, part, [edit], bench.reading(cell), progress)[0]

    return bench.store.readouts(bench.kept(cell, scenario), part, again)


@dataclass(frozen=True)
class Said:
    """What was said on the report part of one scenario: by seed, a readout for each kind of outcome."""

    base: Sequence[Sequence[Readout]]
    edit: Sequence[Sequence[Readout]]
    controls: dict[str, Sequence[Sequence[Readout]]]


def _numbers(measures: Mapping[str, Measure], said: Said, bootstrap: Bootstrap) -> Iterable[Beyond]:
    """Yield every number of one scenario."""
    for kind in range(len(said.base[0])):
        base = [Subject("base", by_seed[kind]) for by_seed in said.base]
        edit = _subjects("edit", [by_seed[kind] for by_seed in said.edit], base)
        controls = {label: _subjects("control", [by_seed[kind] for by_seed in read], base)
                    for label, read in said.controls.items()}  # fmt: skip
        differ = partial(_difference, measures, bootstrap)
        changed = {label: differ(control, base) for label, control in controls.items()}
        more = {label: differ(edit, control) for label, control in controls.items()}
        for i, found in enumerate(differ(edit, base)):
            yield _beyond(
                found,
                {label: rows[i].row.estimate for label, rows in changed.items()},
                {label: rows[i].row.estimate for label, rows in more.items()},
            )


def _subjects(name: str, read: Sequence[Readout], base: Sequence[Subject]) -> list[Subject]:
    return [Subject(name, one, unedited.readout) for one, unedited in zip(read, base, strict=True)]


def _difference(
    measures: Mapping[str, Measure], bootstrap: Bootstrap, one: Sequence[Subject], other: Sequence[Subject]
) -> list[Repeated]:
    return list(repeated(measures, list(zip(one, other, strict=True)), bootstrap))


def beyond_all(change: Estimate, more: Mapping[str, Estimate]) -> float:
    """Return p that an edit changed nothing, or no more than one of its controls in the direction of its change.

    The largest p of all (an intersection–union test); 1 where a control changed it as much; NaN where one is unknown.
    """
    ps = [change.p, *(each.p for each in more.values())]
    if any(math.isnan(p) for p in ps):
        return math.nan
    return 1.0 if any(each.value * change.value <= 0 for each in more.values()) else max(ps)


def _beyond(change: Repeated, controls: dict[str, Estimate], more: dict[str, Estimate]) -> Beyond:
    row = change.row
    return Beyond(measure=row.measure, key=row.key, context=row.context, groups=row.groups, change=row.estimate,
                  runs=change.runs, controls=controls, more=more, p=beyond_all(row.estimate, more))  # fmt: skip
