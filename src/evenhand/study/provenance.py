"""What was asked for, of what, with which versions: the record of a run."""

from __future__ import annotations

import platform
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from evenhand.core.record import CellRef, CellSpec, ContextRecord, RunRecord, ScenarioRecord
from evenhand.core.scenario import PARTS, Part, Scenario
from evenhand.lm.model import LM
from evenhand.lm.tokens import render
from evenhand.scenarios._load import load_scenario
from evenhand.study.bench import Bench
from evenhand.study.grid import versions


def run_record(bench: Bench, cells: Sequence[CellSpec], command: str, controls: Collection[str] = ()) -> RunRecord:
    """Return the record of a run whose grid, so far, are these cells; `controls` are there only for others."""
    config = bench.config
    return RunRecord(
        name=config.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        config=config.model_dump(mode="json"),
        versions=versions() | {"python": platform.python_version()},
        models=tuple({str(cell.model): cell.model for cell in cells}.values()),
        scenario=_scenario(bench, bench.scenario),
        utility=tuple(_scenario(bench, load_scenario(name)) for name in config.utility),
        cells=tuple(_ref(cell, controls) for cell in cells),
    )


def _ref(cell: CellSpec, controls: Collection[str]) -> CellRef:
    return CellRef(
        hash=cell.hash,
        model=str(cell.model["source"]),
        method=cell.method,
        fitted_on=cell.fitted_on,
        variations=cell.variations,
        fitted_to=cell.fitted_to,
        protocol=cell.protocol,
        seed=cell.seed,
        control=cell.hash in controls,
    )


def _scenario(bench: Bench, scenario: Scenario) -> ScenarioRecord:
    return ScenarioRecord(
        name=scenario.name,
        version=scenario.version,
        fingerprint=scenario.fingerprint,
        groups=scenario.groups,
        contexts=tuple(_context(bench.lm, scenario, context.name) for context in scenario.contexts),
        parts={part: _dealt(bench, part) for part in PARTS} if scenario is bench.scenario else {},
        licence=scenario.licence,
        citation=scenario.citation,
    )


def _dealt(bench: Bench, part: Part) -> dict[str, tuple[str, ...]]:
    """What one part holds: the names of each group, or the variations of each context."""
    found: dict[str, dict[str, None]] = {}
    for case in bench.part(bench.scenario, part, bench.config.seeds[0]).cases:
        of, held = (case.group, case.cluster) if bench.config.split.by == "name" else (case.context, case.variation)
        found.setdefault(of, {})[held] = None
    return {of: tuple(held) for of, held in found.items()}


def _context(lm: LM, scenario: Scenario, name: str) -> ContextRecord:
    context = scenario.context(name)
    first = next(case for case in scenario.cases if case.context == name)
    text = first.options[0] if context.outcome == "pair" and not first.prompt else render(lm, first)
    return ContextRecord(
        name=name,
        outcome=context.outcome,
        unit=context.unit,
        favourable=context.favourable,
        variations=scenario.variations(name),
        example=text,
    )
