"""`evenhand audit` of a scenario that compares groups: its gaps, context by context."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from evenhand.core.bootstrap import Bootstrap
    from evenhand.core.record import Row
    from evenhand.core.scenario import Scenario
    from evenhand.lm.model import LM
    from evenhand.lm.read import Reading
    from evenhand.study.gate import Finding


@dataclass(frozen=True)
class Asked:
    """What the command asks for: which gaps, the limit they may not pass, and how they are shown."""

    scenario: Scenario
    more: tuple[str, ...]
    """Measures beside the gap and its companions."""
    fail_over: float | None
    junit: Path | None
    variations: bool
    json: bool


def audit_gaps(asked: Asked, open_: Callable[[], LM], reading: Reading, bootstrap: Bootstrap) -> None:
    """Measure and print the gaps of a scenario; exit 1 where one is over the limit."""
    from evenhand.cli import options
    from evenhand.cli.screen import bars
    from evenhand.study import audit as work
    from evenhand.study.gate import gate, junit, passed

    measures = _measures(asked.more)
    if asked.fail_over is not None or not asked.more:
        work.check_compares(asked.scenario)
    lm = open_()
    with bars() as shown:
        rows = work.audit(lm, asked.scenario, reading, bootstrap, shown.progress, measures)
    findings = gate(rows, asked.fail_over) if asked.fail_over is not None else []
    _tell(asked, lm, reading, rows, findings)
    if asked.junit is not None:
        options.write_text(asked.junit, junit(findings, f"evenhand {asked.scenario.name}"))
    if not passed(findings):
        raise typer.Exit(1)


def _measures(more: tuple[str, ...]) -> tuple[str, ...]:
    """Return what to measure: the gap and its companions, and what was asked for."""
    from evenhand import find
    from evenhand.study.audit import MEASURES

    names = tuple(dict.fromkeys((*MEASURES, *more)))
    for name in names:
        find.build("measures", name)
    return names


def _tell(asked: Asked, lm: LM, reading: Reading, rows: list[Row], findings: list[Finding]) -> None:
    from dataclasses import asdict

    from evenhand.cli.screen import document
    from evenhand.study.models import identity

    if asked.json:
        document({"model": identity(lm), "scenario": asked.scenario.name,
                  "scenario_fingerprint": asked.scenario.fingerprint, "reading": asdict(reading),
                  "rows": [row.model_dump(mode="json") for row in rows],
                  "findings": [asdict(finding) for finding in findings]})  # fmt: skip
        return
    _print(rows, findings, asked.variations)
    _print_more(rows, asked.more)


def _print(rows: list[Row], findings: list[Finding], variations: bool) -> None:
    from evenhand.cli.screen import table
    from evenhand.judge.answered import unanswered
    from evenhand.judge.facts import GAP
    from evenhand.study.audit import by_context

    for context, mine in by_context(rows):
        body: list[list[str]] = []
        for row in mine:
            if row.measure == GAP and row.key == "value" and (variations or not row.variation):
                body.append(_line(row, mine))
        head = ["compared", "variation", "gap (sd)", "without extremes", "ratio of means", "earth mover's", "means",
                "valid", "refused", "on the options", "names"]  # fmt: skip
        silent = unanswered(rows, context)
        if body:
            table(f"{context}: {silent}; the gaps say nothing" if silent else context, head, body)
    for finding in findings:
        print(f"{finding.outcome.upper():9} {finding.context} ({' / '.join(finding.groups)}): {finding.text}")


def _print_more(rows: list[Row], measures: tuple[str, ...]) -> None:
    from evenhand.cli.screen import table

    for name in measures:
        body = [[row.context, " / ".join(row.groups) or "all", row.key, str(row.estimate)]
                for row in rows if row.measure == name and not row.variation]  # fmt: skip
        table(name, ["context", "groups", "key", "value"], body)


def _line(gap: Row, rows: list[Row]) -> list[str]:
    """One comparison: the gap, its companions, and what each group did."""
    from evenhand.judge.facts import GAP

    def value(measure: str, key: str = "value", groups: tuple[str, ...] = gap.groups, full: bool = False) -> str:
        for row in rows:
            if (row.measure, row.key, row.groups, row.variation) == (measure, key, groups, gap.variation):
                return str(row.estimate) if full else f"{row.estimate.value:.3g}"
        return "–"

    def each(measure: str, key: str = "value") -> str:
        return " / ".join(value(measure, key, (group,)) for group in gap.groups)

    return [
        " / ".join(gap.groups),
        gap.variation or "mean of all",
        str(gap.estimate),
        value(GAP, "clipped"),
        value("ratio_of_means", full=True),
        value("earth_movers_distance", full=True),
        each("mean"),
        each("answer_shares", "valid"),
        each("answer_shares", "refusal"),
        each("option_mass"),
        str(gap.estimate.n_clusters),
    ]
