"""Reading a folder: `run.json` and finished cells, `suite.json` and finished benchmarks, or `reading.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from evenhand.core.compared import Comparisons
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.explained import Overlap
from evenhand.core.frozen import Record
from evenhand.core.record import BenchmarkRecord, BenchmarkRef, CellRecord, CellRef, RunRecord, SuiteRecord
from evenhand.core.represented import Represented

READING = "reading.json"
"""The record of a reading in its folder."""
T = TypeVar("T", bound=Record)


@dataclass(frozen=True)
class Run:
    """What a run folder holds: the record, its finished cells in the grid's order, and those not there yet."""

    record: RunRecord
    cells: tuple[tuple[CellRef, CellRecord], ...]
    missing: tuple[CellRef, ...]
    overlap: Overlap | None = None
    """Which of its edits share units; absent while it is not finished, and in runs of earlier versions."""
    beyond: Comparisons | None = None
    """What its edits did beyond their controls; absent too where none has any."""


@dataclass(frozen=True)
class Audit:
    """What the folder of an audit holds: the record and its benchmarks in order, those without a result included."""

    record: SuiteRecord
    benchmarks: tuple[tuple[BenchmarkRef, BenchmarkRecord | None], ...]

    @property
    def finished(self) -> tuple[BenchmarkRecord, ...]:
        """Those that were measured."""
        return tuple(found for _, found in self.benchmarks if found)


def load(folder: Path) -> Run | Audit | Represented:
    """Read the folder of a study, of an audit by benchmarks, or of a reading.

    Raises UsageError where the folder is none of them, CannotRun where a file in it is damaged; both name the file.
    """
    if not folder.is_dir():
        raise UsageError(
            f"there is no folder {str(folder)!r}; expected one that `evenhand run`, `evenhand audit` of benchmarks or "
            "`evenhand read --out` made"
        )
    if (folder / "run.json").is_file():
        return _run(folder)
    if (folder / "suite.json").is_file():
        return _audit(folder)
    if (folder / READING).is_file():
        return load_reading(folder)
    raise UsageError(
        f"{str(folder)!r} is not a run folder: it has no run.json, no suite.json and no {READING}; expected the folder "
        "that `evenhand run` printed at its end (with run.json and cells/ in it), that `evenhand audit` of benchmarks "
        f"printed (with suite.json and benchmarks/), or the --out of a finished `evenhand read` (with {READING})"
    )


def load_reading(folder: Path) -> Represented:
    """Read the record of a reading; raises CannotRun where it is damaged."""
    return _read(folder / READING, Represented, "make it anew with `evenhand read … --replace`")


def _run(folder: Path) -> Run:
    record = _read(folder / "run.json", RunRecord)
    cells: list[tuple[CellRef, CellRecord]] = []
    missing: list[CellRef] = []
    for ref in record.cells:
        file = folder / "cells" / f"{ref.hash}.json"
        if file.is_file():
            cells.append((ref, _read(file, CellRecord)))
        else:
            missing.append(ref)
    shared, beyond = folder / "overlap.json", folder / "beyond.json"
    return Run(record, tuple(cells), tuple(missing), _read(shared, Overlap) if shared.is_file() else None,
               _read(beyond, Comparisons) if beyond.is_file() else None)  # fmt: skip


def _audit(folder: Path) -> Audit:
    record = _read(folder / "suite.json", SuiteRecord)
    found: list[tuple[BenchmarkRef, BenchmarkRecord | None]] = []
    for ref in record.benchmarks:
        file = folder / "benchmarks" / f"{ref.hash}.json"
        found.append((ref, _read(file, BenchmarkRecord) if ref.hash and file.is_file() else None))
    return Audit(record, tuple(found))


_AGAIN = "delete it and run the same command again: only this part is computed anew"


def _read(path: Path, kind: type[T], again: str = _AGAIN) -> T:
    """Parse one file, or say which file is damaged and where."""
    try:
        text = path.read_text(encoding="utf-8")
        json.loads(text)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CannotRun(f"{path} is damaged and cannot be read ({error}); {again}") from error
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise CannotRun(
            f"{path} does not hold a {kind.__name__} of this version: {where}: {first['msg']}; {again}"
        ) from error
