"""`evenhand audit` of benchmarks: one line of progress each, one table at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from evenhand.core.errors import CannotRun

if TYPE_CHECKING:
    from evenhand.core.bootstrap import Bootstrap
    from evenhand.core.scenario import Scenario
    from evenhand.lm.model import LM
    from evenhand.lm.read import Reading
    from evenhand.study.benchmark import Asking, Ended
    from evenhand.study.gate import Finding
    from evenhand.study.suite import Suite


@dataclass(frozen=True)
class Listed:
    """Benchmarks to run, under one name."""

    name: str
    suite: Suite


@dataclass(frozen=True)
class Shown:
    """Where results go and how they are shown."""

    out: Path | None
    by_context: bool
    junit: Path | None
    json: bool


@dataclass(frozen=True)
class Opened:
    """How the model is opened, and the folder of the edit that is measured beside it."""

    model: Callable[[], LM]
    edit: Path | None


def suite_of(name: str) -> Listed:
    """Return a suite by name or path; its mistakes are told before a model is opened."""
    from evenhand.study.suite import load_suite

    return Listed(Path(name).stem, load_suite(name))


def only(
    name: str, scenario: Scenario, contexts: tuple[str, ...], more: tuple[str, ...], fail_over: float | None
) -> Listed:
    """Return a suite of one benchmark; a limit is one on the first of its measures."""
    from evenhand.study.entry import Entry
    from evenhand.study.suite import Suite, check

    limits = {scenario.measures[0]: fail_over} if fail_over is not None else {}
    entry = Entry(scenario=name, contexts=contexts, more=more, fail_over=limits)
    check(entry)
    return Listed(scenario.name, Suite(benchmarks=(entry,)))


def audit_benchmarks(listed: Listed, shown: Shown, opened: Opened, reading: Reading, bootstrap: Bootstrap) -> None:
    """Run benchmarks into their folder and print the table; exit 1 for a number over its limit."""
    from evenhand.cli.options import write_text
    from evenhand.cli.screen import document, notify
    from evenhand.cli.suite_table import as_json, text_of
    from evenhand.edits._file import load
    from evenhand.report import render
    from evenhand.study.benchmark import Asking, NotMeasured
    from evenhand.study.gate import junit

    edit = load(opened.edit) if opened.edit else None
    lm = opened.model()
    asking = Asking(lm, reading, bootstrap, edit)
    folder = shown.out or _folder(lm, listed.name)
    ended = _carry_out(asking, listed, folder)
    findings = _findings(listed.suite, ended)
    if shown.junit is not None:
        write_text(shown.junit, junit(findings, f"evenhand {listed.name}"))
    if len(ended) == 1 and isinstance(ended[0], NotMeasured):
        raise ended[0].error
    edited = f" beside {opened.edit}" if opened.edit else ""
    text = text_of(f"{lm.identity.source}{edited}, {listed.name}, seed {reading.seed}", ended, findings,
                   shown.by_context)  # fmt: skip
    write_text(folder / "table.txt", f"{text}\n")
    page = render(folder)
    if shown.json:
        document({"folder": str(folder), "report": str(page), **as_json(ended, findings)})
    else:
        print(text)
        notify(f"this table, every number and the answers behind them: {folder}")
        notify(f"the same as a page, with what must not be concluded: {page}")
    _end(ended, findings)


def _folder(lm: LM, name: str) -> Path:
    from evenhand.study.models import identity

    return Path("runs") / f"{Path(str(identity(lm)['source'])).name}-{name}"


def _carry_out(asking: Asking, listed: Listed, folder: Path) -> list[Ended]:
    from evenhand.cli.main import INTERRUPTED
    from evenhand.cli.screen import bars, clock, notify
    from evenhand.core.record import BenchmarkRecord
    from evenhand.study.suite import Watch, run_suite

    try:
        with bars("benchmarks") as shown:

            def ended(each: Ended, place: int, total: int, fresh: bool) -> None:
                shown.cell(place, total, fresh)
                if isinstance(each, BenchmarkRecord):
                    took = clock(each.seconds) if fresh else "was there already"
                    shown.line(f"[{place}/{total}] {each.spec.scenario}: {each.cases:,} items ({took})")
                else:
                    shown.line(f"[{place}/{total}] {each.scenario}: {each.why}: {each.error}")

            asking = replace(asking, progress=shown.progress)
            return run_suite(asking, listed.suite, folder, Watch(ended, notify), listed.name)
    except KeyboardInterrupt:
        notify(f"stopped; finished benchmarks are in {folder}. Run the same command again: it goes on where it stopped")
        raise typer.Exit(INTERRUPTED) from None


def _findings(suite: Suite, ended: list[Ended]) -> list[Finding]:
    """Return every number that has a limit against it; a benchmark that has limits and was not measured is one too."""
    from evenhand.core.record import BenchmarkRecord
    from evenhand.study.gate import Finding, gate_benchmark

    found: list[Finding] = []
    for entry, each in zip(suite.benchmarks, ended, strict=True):
        if isinstance(each, BenchmarkRecord):
            found += gate_benchmark(each, entry.fail_over)
        elif entry.fail_over:
            found.append(Finding(each.scenario, (), "undefined", f"{each.why}: {each.error}"))
    return found


def _failed(ended: list[Ended]) -> list[str]:
    from evenhand.core.record import BenchmarkRecord

    return [f"  {each.scenario}: {each.error}" for each in ended
            if not isinstance(each, BenchmarkRecord) and not each.refused]  # fmt: skip


def _end(ended: list[Ended], findings: list[Finding]) -> None:
    """Exit 1 for a number over its limit; what could not be asked or judged has not passed either."""
    from evenhand.cli.screen import notify
    from evenhand.study.gate import passed

    failed = _failed(ended)
    reasons = "\n".join(failed)
    text = (
        f"{len(failed)} of {len(ended)} benchmarks could not be asked; the others are finished. The same command "
        f"tries these again:\n{reasons}"
    )
    if any(finding.outcome == "over" for finding in findings):
        if failed:
            notify(text)
        raise typer.Exit(1)
    if failed:
        raise CannotRun(text)
    passed(findings)
