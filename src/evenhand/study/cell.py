"""One cell: fit on some names, choose a size on others, report on the rest. A pure function of its spec."""

from __future__ import annotations

import math
import time

from evenhand.core.component import Selection
from evenhand.core.edit import Edit
from evenhand.core.readout import Readout
from evenhand.core.record import CellRecord, CellSpec, Row
from evenhand.core.scenario import Scenario
from evenhand.study.bench import Bench
from evenhand.study.cell_units import unit_fields
from evenhand.study.evidence import corrected, layer_sizes, measures_of, rows
from evenhand.study.histogram import distributions
from evenhand.study.readings import labelled, read_edits, selection_of
from evenhand.study.search import Found, method_of, search
from evenhand.study.sweep import dose_of


def run_cell(bench: Bench, spec: CellSpec) -> tuple[CellRecord, Edit | None]:
    """Compute one cell and return its record and its edit; writes nothing but the cache of unedited readouts.

    The report part is measured in every context of the scenario, fitted on or not, for the unedited model, the edit and
    the random edit of the same size.
    """
    started = time.monotonic()
    with bench.lm.keeping(bench.store.workplace(spec)):
        found = search(bench, spec)
        subjects = _subjects(bench, spec, bench.scenario, found)
        general = _subjects(bench, spec, bench.utility, found)
    selection = _selection(bench, spec, found.edit)
    dose = dose_of(method_of(spec))
    told = unit_fields(bench, spec, found.edit, found.order)
    notes = (*found.notes, *told.pop("notes"), *_run_time_only(found.edit))
    record = CellRecord(
        spec=spec,
        rows=_rows(bench, spec, subjects, general),
        sweep=found.points,
        per_layer=selection.per_layer() if selection is not None else {},
        layer_sizes=layer_sizes(selection) if selection is not None else {},
        space=selection.layout.space if selection is not None else "",
        share=selection.share if selection is not None else math.nan,
        dose=dose.noun if dose is not None else "",
        run_time_only=found.edit is not None and found.edit.run_time_only,
        describes=found.edit.describe() if found.edit is not None else "",
        distributions=tuple(distributions(subjects)),
        edit=f"edits/{spec.hash}" if found.edit else "",
        rule=found.rule,
        training=found.training,
        notes=notes,
        **told,
        seconds=round(time.monotonic() - started, 2),
    )
    return record, found.edit


def _run_time_only(edit: Edit | None) -> tuple[str, ...]:
    if edit is None or not edit.run_time_only:
        return ()
    return (
        "For run time only: this edit works while evenhand runs the model; no weights hold it, so it cannot be "
        "exported as a checkpoint.",
    )


def _subjects(bench: Bench, spec: CellSpec, scenario: Scenario, found: Found) -> dict[str, list[Readout]]:
    """Readouts of the report part: of the unedited model, the edit, and its control."""
    edits = {name: edit for name, edit in (("edit", found.edit), ("random", found.random)) if edit is not None}
    part = bench.part(scenario, "report", spec.seed)
    progress = labelled(bench.progress, f"report, {scenario.name}")
    read = read_edits(bench.lm, part, list(edits.values()), bench.reading(spec), progress)
    if "edit" in edits and bench.config.controlled:
        bench.store.keep(bench.kept(spec, scenario), read[0])
    return {"base": bench.base(spec, scenario, "report"), **dict(zip(edits, read, strict=True))}


def _rows(
    bench: Bench, spec: CellSpec, subjects: dict[str, list[Readout]], general: dict[str, list[Readout]]
) -> tuple[Row, ...]:
    bench.progress("intervals", 0, 1)
    goal = bench.config.goal
    table = [
        *rows(
            measures_of(bench.config, bench.config.measures),
            subjects,
            bench.bootstrap(spec),
            goal.measure if goal else "",
        ),
        *rows(measures_of(bench.config, bench.config.utility_measures), general, bench.bootstrap(spec)),
    ]
    bench.progress("intervals", 1, 1)
    return corrected(table)


def _selection(bench: Bench, spec: CellSpec, edit: Edit | None) -> Selection | None:
    """The edited units, none of them where the unedited model was kept; None where units are not what is edited."""
    if edit is not None:
        return selection_of(edit)
    space = method_of(spec).space
    return Selection.of(bench.lm.layout(space), []) if space is not None else None
