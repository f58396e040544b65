"""`evenhand run`: a whole study, from one TOML file to a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evenhand.cli import options

if TYPE_CHECKING:
    from evenhand.core.record import CellRecord, CellSpec
    from evenhand.study.config import StudyConfig
    from evenhand.study.engine import NotRun


def run(
    study: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.")],
    out: Annotated[Path | None, typer.Option(help="Run folder; default: the study's `output`, or runs/<name>.")] = None,
    json_: options.Json = False,
) -> None:
    """Run a study. A run that was stopped, killed or failed goes on where it was when started again.

    A cell that cannot be computed does not stop the others; the end lists them, with exit code 3 (2 for a mistake).

    Example: evenhand run studies/planted.toml
    """
    from evenhand.study.config import load_study
    from evenhand.study.engine import Unfinished

    config = load_study(study)
    folder = out or config.folder
    try:
        records = carry_out(config, folder)
    except Unfinished as error:
        _print(folder, error.records, error.not_run, json_)
        raise
    _print(folder, records, [], json_)


def carry_out(config: StudyConfig, folder: Path) -> list[CellRecord]:
    """Run a study with bars and lines on stderr; Ctrl-C says how to go on and exits with 130."""
    import sys

    from evenhand.cli.main import INTERRUPTED
    from evenhand.cli.screen import bars, clock, notify
    from evenhand.study.engine import Listener, NotRun, run_study

    command = " ".join(["evenhand", *sys.argv[1:]])
    try:
        with bars() as shown:

            def ended(cell: CellRecord | NotRun, place: int, total: int, fresh: bool) -> None:
                shown.cell(place, total, fresh)
                if isinstance(cell, NotRun):
                    shown.line(f"[{place}/{total}] could not be run: {cell.cell}: {cell.error}")
                else:
                    took = clock(cell.seconds) if fresh else "was there already"
                    shown.line(f"[{place}/{total}] {summary(cell)} ({took})")

            return run_study(config, folder, Listener(shown.progress, ended, notify), command)
    except KeyboardInterrupt:
        notify(f"stopped; finished cells are in {folder}. Run the same command again: it goes on where it stopped")
        raise typer.Exit(INTERRUPTED) from None


def summary(record: CellRecord) -> str:
    """Return one line: the cell, the chosen size, and the gap before and after in the contexts it was fitted on."""
    from evenhand.study.transfer import fitted

    chosen = next((point.units for point in record.sweep if point.chosen), 0)
    return f"{record.spec.method} on {fitted(record.spec)}: {chosen} units" + (f"; {_effect(record)}" if chosen else "")


def _effect(record: CellRecord) -> str:
    from evenhand.study.transfer import transfer

    own = [entry for entry in transfer(record) if entry.context in record.spec.fitted_on]
    return "; ".join(f"|gap| in {e.context} {e.before.value:.2g} → {e.after.value:.2g}" for e in own)


def _print(folder: Path, records: list[CellRecord], not_run: list[NotRun], json_: bool) -> None:
    if json_:
        _print_json(folder, records, not_run)
        return
    if records:
        _print_table(records)
        print(f"{'not finished' if not_run else 'finished'}: {folder}\nnext: evenhand report {folder}")


def _print_table(records: list[CellRecord]) -> None:
    from evenhand.cli.screen import table
    from evenhand.study.transfer import fitted, transfer

    body: list[list[str]] = []
    for record in records:
        for entry in transfer(record):
            star = "*" if entry.context in record.spec.fitted_on else ""
            numbers = [entry.before, entry.after, entry.change, entry.random]
            shown = [str(number) if number.defined else "–" for number in numbers]
            body.append([record.spec.method, fitted(record.spec), f"{star}{entry.context}", str(entry.units), *shown])
    head = ["method", "fitted on", "measured on", "units", "|gap| before", "after", "change", "random edit's change"]
    table("Mean absolute gap (sd) on names kept for the report; * was fitted on, 0 units: unedited", head, body)


def _print_json(folder: Path, records: list[CellRecord], not_run: list[NotRun]) -> None:
    from evenhand.cli.screen import document
    from evenhand.study.transfer import transfer

    def plain(spec: CellSpec) -> dict[str, Any]:
        return {
            "hash": spec.hash, "model": spec.model, "method": spec.method, "protocol": spec.protocol,
            "fitted_on": spec.fitted_on, "seed": spec.seed, "variations": spec.variations,
        }  # fmt: skip

    cells = [
        plain(record.spec) | {"edit": record.edit, "notes": record.notes,
                              "transfer": [entry.model_dump(mode="json") for entry in transfer(record)]}
        for record in records
    ]  # fmt: skip
    failed = [plain(each.spec) | {"reason": str(each.error)} for each in not_run]
    document({"run": str(folder), "cells": cells, "not_run": failed})
