"""What edits did beyond their controls: every method with controls, over all its seeds, in every place measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evenhand.core.asked import Asked, Entry
from evenhand.core.bootstrap import Bootstrap, benjamini_hochberg
from evenhand.core.compared import Beyond, Compared
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

UNEDITED = "base"


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
    sides = {UNEDITED: trial.edit, "edit": trial.edit, **trial.controls}
    seeds = [i for i in range(len(trial.edit)) if all(cells[i].hash in records for cells in sides.values())]
    if not seeds:
        return None
    first = trial.edit[0]
    numbers: list[Beyond] = []
    for scenario, names in (
        (bench.scenario, bench.config.measures),
        (bench.utility, bench.config.utility_measures),
    ):
        read = {
            name: [_answers(bench, cells[i], records, scenario, name == UNEDITED) for i in seeds]
            for name, cells in sides.items()
        }
        numbers += _numbers(measures_of(bench.config, names), read, bench.bootstrap(first))
    return Compared(
        model=first.model,
        method=first.method,
        settings=trial.asked.entry["settings"],
        varied=trial.asked.varied,
        fitted_on=first.fitted_on,
        variations=first.variations,
        protocol=first.protocol,
        seeds=tuple(trial.edit[i].seed for i in seeds),
        cells=tuple(trial.edit[i].hash for i in seeds),
        controls={label: tuple(cells[i].hash for i in seeds) for label, cells in trial.controls.items()},
        numbers=tuple(numbers),
    )


def corrected(found: Sequence[Compared]) -> tuple[Compared, ...]:
    """Return the comparisons with q: one table is one measure and key of one method on one model, in all places."""
    tables: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    for i, each in enumerate(found):
        for j, number in enumerate(each.numbers):
            key = (str(each.model), each.method, number.measure, number.key)
            tables.setdefault(key, []).append((i, j))
    table = [list(each.numbers) for each in found]
    for places in tables.values():
        ps = [Estimate(value=math.nan, p=table[i][j].p) for i, j in places]
        for (i, j), estimate in zip(places, benjamini_hochberg(ps), strict=True):
            table[i][j] = table[i][j].model_copy(update={"q": estimate.q})
    return tuple(each.model_copy(update={"numbers": tuple(row)}) for each, row in zip(found, table, strict=True))


def _answers(
    bench: Bench, cell: CellSpec, records: Mapping[str, CellRecord], scenario: Scenario, unedited: bool
) -> list[Readout]:
    """What was said on the report part: kept when the cell was computed, or read again with its edit."""
    record = records[cell.hash]
    if unedited or not record.edit:
        return bench.base(cell, scenario, "report")
    part = bench.part(scenario, "report", cell.seed)

    def again() -> list[Readout]:
        edit = load(bench.store.folder / record.edit).on(bench.lm)
        progress = labelled(bench.progress, f"once more, {scenario.name}")
        return read_edits(bench.lm, part, [edit], bench.reading(cell), progress)[0]

    return bench.store.readouts(bench.kept(cell, scenario), part, again)


def _numbers(
    measures: Mapping[str, Measure], read: Mapping[str, Sequence[Sequence[Readout]]], bootstrap: Bootstrap
) -> Iterable[Beyond]:
    """Yield every number of one scenario; `read` is side → seed → a readout for each kind of outcome."""
    labels = [name for name in read if name not in (UNEDITED, "edit")]
    for kind in range(len(read[UNEDITED][0])):
        base = [Subject(UNEDITED, said[kind]) for said in read[UNEDITED]]
        sides = {
            name: [Subject(name, said[kind], before.readout) for said, before in zip(read[name], base, strict=True)]
            for name in ("edit", *labels)
        }

        def difference(one: Sequence[Subject], other: Sequence[Subject]) -> list[Repeated]:
            return list(repeated(measures, list(zip(one, other, strict=True)), bootstrap))

        change = difference(sides["edit"], base)
        controls = {label: difference(sides[label], base) for label in labels}
        more = {label: difference(sides["edit"], sides[label]) for label in labels}
        for i, found in enumerate(change):
            yield _beyond(
                found,
                {label: rows[i].row.estimate for label, rows in controls.items()},
                {label: rows[i].row.estimate for label, rows in more.items()},
            )


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
