"""`evenhand audit --suite`: many benchmarks on one model, one line of progress each, one table at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from evenhand.core.errors import CannotRun

if TYPE_CHECKING:
    from evenhand.core.bootstrap import Bootstrap
    from evenhand.core.record import BenchmarkRecord, Row
    from evenhand.lm.model import LM
    from evenhand.lm.read import Reading
    from evenhand.study.suite import Ended, Suite


def run_suite(
    lm: LM, name: str, suite: Suite, reading: Reading, bootstrap: Bootstrap, out: Path | None, by_context: bool,
    json_: bool,
) -> None:  # fmt: skip
    """Run a suite into its folder and print the table; exit 3 where a benchmark could not be asked at all."""
    from evenhand.cli.screen import document, notify

    folder = out or _folder(lm, name)
    ended = _carry_out(lm, suite, reading, bootstrap, folder)
    if json_:
        document({"folder": str(folder), "benchmarks": [_as_json(each) for each in ended]})
    else:
        _print(ended, by_context)
        notify(f"every number, and the answers behind it: {folder}")
    _end(ended)


def _folder(lm: LM, name: str) -> Path:
    from evenhand.study.models import identity

    return Path("runs") / f"{Path(str(identity(lm)['source'])).name}-{Path(name).stem}"


def _carry_out(lm: LM, suite: Suite, reading: Reading, bootstrap: Bootstrap, folder: Path) -> list[Ended]:
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
                    shown.line(f"[{place}/{total}] {each.scenario}: {_why(each.refused)}: {each.error}")

            return run_suite(lm, suite, folder, reading, bootstrap, Watch(shown.progress, ended, notify))
    except KeyboardInterrupt:
        notify(f"stopped; finished benchmarks are in {folder}. Run the same command again: it goes on where it stopped")
        raise typer.Exit(INTERRUPTED) from None


def _why(refused: bool) -> str:
    return "not for this model" if refused else "could not be asked"


def _as_json(each: Ended) -> dict[str, object]:
    from evenhand.core.record import BenchmarkRecord

    if isinstance(each, BenchmarkRecord):
        return each.model_dump(mode="json")
    return {"scenario": each.scenario, "error": str(each.error), "refused": each.refused}


def _print(ended: list[Ended], by_context: bool) -> None:
    from evenhand.cli.screen import table
    from evenhand.core.record import BenchmarkRecord
    from evenhand.study.suite import idle, shown

    body: list[list[str]] = []
    for each in ended:
        if not isinstance(each, BenchmarkRecord):
            body.append([each.scenario, "", "", _why(each.refused), "|", "", ""])
            continue
        for row, sound in shown(each, by_context):
            body.append([each.spec.scenario, row.context, _name(row), str(row.estimate), _beside(each, row),
                         str(sound.estimate) if sound else "", f"{row.estimate.n:,}"])  # fmt: skip
    head = ["benchmark", "context", "measure", "value", "no bias", "guessing", "without flawed items", "items"]
    table("suite", head, [[*row[:4], *row[4].split("|"), *row[5:]] for row in body])
    doubts = {each.spec.scenario: idle(each) for each in ended if isinstance(each, BenchmarkRecord)}
    if any(doubts.values()):
        print("The model does not do these tasks, so what is measured there says nothing about its bias:")
        for name, found in doubts.items():
            if found:
                print(f"  {name}: {'; '.join(found)}")


def _beside(each: BenchmarkRecord, row: Row) -> str:
    """What the value is to be set against: the one without bias, and that of guessing."""
    known = (table.get(row.measure, {}).get(row.key) for table in (each.neutral, each.guess))
    return "|".join("" if value is None else f"{value:.3g}" for value in known)


def _name(row: Row) -> str:
    groups = f" ({' / '.join(row.groups)})" if len(row.groups) == 2 else ""  # otherwise of all groups together
    return f"{row.measure}{'' if row.key == 'value' else f' {row.key}'}{groups}"


def _end(ended: list[Ended]) -> None:
    from evenhand.core.record import BenchmarkRecord

    failed = [each for each in ended if not isinstance(each, BenchmarkRecord) and not each.refused]
    if failed:
        reasons = "\n".join(f"  {each.scenario}: {each.error}" for each in failed)
        raise CannotRun(
            f"{len(failed)} of {len(ended)} benchmarks could not be asked; the others are finished. The same command "
            f"tries these again:\n{reasons}"
        )
