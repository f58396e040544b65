"""`evenhand audit --suite`: many benchmarks on one model, one line of progress each, one table at the end."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Asked:
    """What the command asks for: a suite by name or path, where its results go, and how they are shown."""

    name: str
    out: Path | None
    by_context: bool
    json: bool


def run_suite(lm: LM, asked: Asked, reading: Reading, bootstrap: Bootstrap) -> None:
    """Run a suite into its folder and print the table; exit 3 where a benchmark could not be asked at all."""
    from evenhand.cli.options import write_text
    from evenhand.cli.screen import document, notify
    from evenhand.study.suite import load_suite

    folder = asked.out or _folder(lm, asked.name)
    ended = _carry_out(lm, load_suite(asked.name), reading, bootstrap, folder)
    text = _text(f"{lm.identity.source}, suite {Path(asked.name).stem}, seed {reading.seed}", ended, asked.by_context)
    write_text(folder / "table.txt", f"{text}\n")
    if asked.json:
        document({"folder": str(folder), "benchmarks": [_as_json(each) for each in ended]})
    else:
        print(text)
        notify(f"this table, every number and the answers behind them: {folder}")
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


def _text(title: str, ended: list[Ended], by_context: bool) -> str:
    """Return the table, and below it what the model does not do."""
    from evenhand.cli.screen import lines_of
    from evenhand.core.record import BenchmarkRecord
    from evenhand.study.suite_rows import idle, shown

    body: list[list[str]] = []
    doubts: list[str] = []
    for each in ended:
        if not isinstance(each, BenchmarkRecord):
            body.append([each.scenario, "", "", _why(each.refused), "", "", "", ""])
            continue
        for row, sound in shown(each, by_context):
            body.append([each.spec.scenario, row.context, _name(row), str(row.estimate), *_beside(each, row),
                         str(sound.estimate) if sound else "",
                         f"{row.estimate.n:,} / {row.estimate.n_clusters:,}"])  # fmt: skip
        if found := idle(each):
            doubts.append(f"  {each.spec.scenario}: {'; '.join(found)}")
    head = [
        "benchmark",
        "context",
        "measure",
        "value",
        "no bias",
        "guessing",
        "without flawed items",
        "items / clusters",
    ]
    if doubts:
        doubts.insert(0, "The model does not do these tasks, so what is measured there says nothing about its bias:")
    return "\n".join([lines_of(title, head, body), *doubts])


def _beside(each: BenchmarkRecord, row: Row) -> list[str]:
    """What the value is to be set against: the one without bias, and that of guessing."""
    known = (table.get(row.measure, {}).get(row.key) for table in (each.neutral, each.guess))
    return ["" if value is None else f"{value:.3g}" for value in known]


def _name(row: Row) -> str:
    groups = f" ({' / '.join(row.groups)})" if len(row.groups) in (1, 2) else ""  # otherwise of all groups together
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
