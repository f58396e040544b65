"""Run a study: every cell that is not finished yet, one after another, on this machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evenhand.core.bootstrap import FEWEST, smallest_stratum
from evenhand.core.compared import Compared, Comparisons
from evenhand.core.errors import EvenhandError, UsageError
from evenhand.core.measuring import readable
from evenhand.core.plugin import told
from evenhand.core.progress import Progress, silent
from evenhand.core.record import CellRecord, CellSpec
from evenhand.core.scenario import Scenario
from evenhand.scenarios._load import load_scenario
from evenhand.study.bench import Bench
from evenhand.study.beyond import compared, corrected, trials
from evenhand.study.cell import run_cell
from evenhand.study.config import StudyConfig
from evenhand.study.entry import sampled
from evenhand.study.evidence import measures_of
from evenhand.study.grid import Made, fits, only_controls, settings_of, specs
from evenhand.study.models import identity, open_model
from evenhand.study.overlap import of_run
from evenhand.study.provenance import run_record
from evenhand.study.store import CannotWrite, Store
from evenhand.study.utility import together


@dataclass(frozen=True)
class NotRun:
    """A cell that could not be computed, and why."""

    spec: CellSpec
    error: EvenhandError

    @property
    def cell(self) -> str:
        """Which cell, in words."""
        return f"{self.spec.method} on {self.spec.fitted} ({self.spec.model['source']}, seed {self.spec.seed})"


class Unfinished(EvenhandError):
    """Some cells of a run could not be computed; `records` are the others, finished and kept."""

    def __init__(self, records: Sequence[CellRecord], not_run: Sequence[NotRun]) -> None:
        self.records = list(records)
        self.not_run = list(not_run)
        self.exit_code = max(each.error.exit_code for each in not_run)
        reasons: dict[str, list[str]] = {}
        for each in not_run:
            reasons.setdefault(str(each.error), []).append(each.cell)
        super().__init__(
            f"{len(not_run)} of {len(records) + len(not_run)} cells could not be run; the others are finished. The "
            "same command tries these again:\n"
            + "\n".join(f"  {', '.join(cells)}: {reason}" for reason, cells in reasons.items())
        )


@dataclass(frozen=True)
class Listener:
    """Who is told how a run goes: progress inside a cell, each cell that ended, plain lines."""

    progress: Progress = silent
    ended: Callable[[CellRecord | NotRun, int, int, bool], None] = lambda cell, place, total, fresh: None
    """Called as `ended(cell, place, total, fresh)`; `fresh` is False for a cell that was there already."""
    notify: Callable[[str], None] = lambda line: None


def run_study(
    config: StudyConfig, folder: Path, listener: Listener = Listener(), command: str = ""
) -> list[CellRecord]:
    """Run a study to its end and return its cells; finished ones are read from the folder, not computed again.

    A cell that cannot be computed (a model that gives no numbers, too few units) does not stop the others; at the end
    Unfinished is raised, which holds both. Raises UsageError for a mistake in the study that can be seen before a model
    is loaded, and CannotRun when a model cannot be loaded or the disk fails; finished cells stay as they are.
    """
    scenario = sampled(load_scenario(config.scenario), config.sample, config.seeds[0])
    utility = together(config.utility)
    total = len(config.models) * _check(config, scenario, utility)
    _warn(config, scenario, listener.notify)
    store = Store(folder, listener.notify)
    ended: list[CellRecord | NotRun] = []
    comparisons: list[Compared] = []
    with store.locked():
        store.forget_beyond()
        grid: list[CellSpec] = []
        controls: set[str] = set()
        for model in config.models:
            lm = open_model(model, listener.notify)
            bench = Bench(lm, config, scenario, utility, store, listener.progress)
            made = Made(identity(lm), scenario, utility)
            mine = specs(config, made)
            if {cell.hash for cell in grid} & {cell.hash for cell in mine}:
                raise UsageError(
                    f"models: {model.source!r} is there twice (same weights, dtype and chat); take one out"
                )
            grid += mine
            controls |= only_controls(config, made)
            store.write_run(run_record(bench, grid, command, controls))
            for spec in mine:
                done = store.cell(spec)
                ended.append(done or _compute(bench, spec))
                listener.ended(ended[-1], len(ended), total, done is None)
            comparisons += _compared(bench, made, ended)
        records = [cell for cell in ended if isinstance(cell, CellRecord)]
        store.write_overlap(of_run(folder, records))
        if config.controlled:
            store.write_beyond(Comparisons(compared=corrected(comparisons)))
    if len(records) < len(ended):
        raise Unfinished(records, [cell for cell in ended if isinstance(cell, NotRun)])
    return records


def _warn(config: StudyConfig, scenario: Scenario, notify: Callable[[str], None]) -> None:
    """Say before hours of work that a part holds too few names for intervals."""
    seed, shares = config.seeds[0], config.split.shares
    few = {part: smallest_stratum(scenario.part(part, seed, shares, config.split.by).cases)
           for part in ("choose", "report")}  # fmt: skip
    if min(few.values()) < FEWEST:
        told = " and ".join(f"{n} in the {part} part" for part, n in few.items() if n < FEWEST)
        least = FEWEST if config.split.by == "variation" else math.ceil(FEWEST * sum(shares) / min(shares[1:]))
        notify(f"too few names for intervals: {told} of the smallest group, {FEWEST} are needed, 8 are better; give at "
               f"least {least} names per group")  # fmt: skip


def _compared(bench: Bench, made: Made, ended: Sequence[CellRecord | NotRun]) -> list[Compared]:
    """Set every method that has controls against them, as far as their cells are finished."""
    records = {cell.spec.hash: cell for cell in ended if isinstance(cell, CellRecord)}
    asked = trials(bench, made)
    found: list[Compared] = []
    for i, trial in enumerate(asked):
        bench.progress("beyond controls", i, len(asked))
        one = compared(bench, trial, records)
        found += [one] if one else []
    bench.progress("beyond controls", len(asked), len(asked))
    return found


def _compute(bench: Bench, spec: CellSpec) -> CellRecord | NotRun:
    try:
        record, edit = run_cell(bench, spec)
    except CannotWrite:
        raise
    except Exception as error:
        known = told(error)
        if known is None:
            raise
        return NotRun(spec, known)
    bench.store.write_cell(record, edit)
    return record


def _check(config: StudyConfig, scenario: Scenario, utility: Scenario) -> int:
    """Return the number of cells per model, after everything that can be wrong without a model was looked at."""
    for names, cases in ((config.measures, scenario), (config.utility_measures, utility)):
        for name, each in measures_of(config, names).items():
            readable(name, each, [case for case in cases.cases if cases.context(case.context).outcome in each.kinds])
    if config.goal is None and len(scenario.groups) < 2:
        raise UsageError(
            f"scenario: {scenario.name!r} has {len(scenario.groups)} group(s); a study compares at least two. To "
            "choose the size of an edit by something else, such as accuracy, name it under [goal]"
        )
    if not any(context.outcome == "sentence" for context in utility.contexts):
        raise UsageError(
            f"utility: none of {', '.join(config.utility)} holds running text (outcome 'sentence'), which the damage "
            "budget is measured on; add one, such as 'neutral_text'"
        )
    for seed in config.seeds:
        scenario.part("report", seed, config.split.shares, config.split.by)
        utility.part("report", seed, config.split.shares)
    methods = {str((method.name, settings_of(method, seed), method.sizes, method.layers, seed))
               for method, _ in config.entries for seed in config.seeds}  # fmt: skip
    return len(methods) * len(fits(config, scenario))
