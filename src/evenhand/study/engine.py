"""Run a study: every cell that is not finished yet, one after another, on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evenhand import find
from evenhand.core.errors import UsageError
from evenhand.core.progress import Progress, silent
from evenhand.core.record import CellRecord, CellSpec
from evenhand.core.scenario import Scenario, split_clusters
from evenhand.scenarios._load import load_scenario
from evenhand.study.bench import Bench
from evenhand.study.cell import run_cell
from evenhand.study.config import StudyConfig
from evenhand.study.grid import fits, settings_of, specs
from evenhand.study.models import identity, open_model
from evenhand.study.provenance import run_record
from evenhand.study.store import Store
from evenhand.study.utility import together


def _nobody(record: CellRecord, place: int, total: int, fresh: bool) -> None:
    """Tell no one."""


@dataclass(frozen=True)
class Listener:
    """Who is told how a run goes: progress inside a cell, each finished cell, plain lines."""

    progress: Progress = silent
    finished: Callable[[CellRecord, int, int, bool], None] = _nobody
    """Called as `finished(record, place, total, fresh)`; `fresh` is False for a cell that was there already."""
    notify: Callable[[str], None] = lambda line: None


def run_study(
    config: StudyConfig, folder: Path, listener: Listener = Listener(), command: str = ""
) -> list[CellRecord]:
    """Run a study to its end and return its cells; finished ones are read from the folder, not computed again.

    Raises UsageError for a mistake in the study (before any model is loaded where it can be seen then) and CannotRun
    when a model or the disk fails; finished cells stay as they are.
    """
    scenario, utility = load_scenario(config.scenario), together(config.utility)
    total = len(config.models) * _check(config, scenario, utility)
    store = Store(folder, listener.notify)
    records: list[CellRecord] = []
    with store.locked():
        grid: list[CellSpec] = []
        for model in config.models:
            lm = open_model(model, listener.notify)
            bench = Bench(lm, config, scenario, utility, store, listener.progress)
            mine = specs(config, identity(lm), scenario, utility)
            grid += mine
            store.write_run(run_record(bench, grid, command))
            for spec in mine:
                done = store.cell(spec)
                record = done or _finish(bench, spec)
                records.append(record)
                listener.finished(record, len(records), total, done is None)
    return records


def _finish(bench: Bench, spec: CellSpec) -> CellRecord:
    record, edit = run_cell(bench, spec)
    bench.store.write_cell(record, edit)
    return record


def _check(config: StudyConfig, scenario: Scenario, utility: Scenario) -> int:
    """Return the number of cells per model, after everything that can be wrong without a model was looked at."""
    for name in (*config.measures, *config.utility_measures):
        find.build("measures", name)
    if len(scenario.groups) < 2:
        raise UsageError(
            f"scenario: {scenario.name!r} has {len(scenario.groups)} group(s); a study compares at least two"
        )
    if not any(context.outcome == "sentence" for context in utility.contexts):
        raise UsageError(
            f"utility: none of {', '.join(config.utility)} holds running text (outcome 'sentence'), which the damage "
            "budget is measured on; add one, such as 'neutral_text'"
        )
    for part_of in (scenario, utility):
        for seed in config.seeds:
            split_clusters(part_of, seed, config.split.shares)
    methods = {str((method.name, settings_of(method, seed), method.sizes, method.layers, seed))
               for method in config.methods for seed in config.seeds}  # fmt: skip
    return len(methods) * len(fits(config, scenario))
