"""Tables of public benchmarks under EVENHAND_DATA, with errors that say what is missing and where to put it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evenhand.core.errors import CannotRun


@dataclass(frozen=True, slots=True)
class Source:
    """A public data set: its folder under EVENHAND_DATA, and whom to thank for it."""

    folder: str
    licence: str
    citation: str
    origin: str
    """Where to get it."""


def read_table(data: Path | None, source: Source, file: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV file; raises CannotRun when it is absent, damaged or has no rows."""
    wanted = f"{source.folder}/{file}"
    thanks = f"licence {source.licence}; cite {source.citation}; from {source.origin}"
    if data is None:
        raise CannotRun(
            f"this pack reads {wanted}, which is not shipped: set the environment variable EVENHAND_DATA to the folder "
            f"that holds {wanted} ({thanks})"
        )
    path = data / source.folder / file
    if not path.is_file():
        raise CannotRun(f"there is no file {path}: put it there, or let EVENHAND_DATA name another folder ({thanks})")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise CannotRun(
                    f"{path}: no column {', '.join(map(repr, missing))} (found: {', '.join(reader.fieldnames or ())}); "
                    f"get the file again ({thanks})"
                )
            rows = [_row(path, reader.line_num, row, columns) for row in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise CannotRun(f"{path}: cannot be read as CSV in UTF-8 ({error}); get the file again ({thanks})") from error
    if not rows:
        raise CannotRun(f"{path}: there are no rows in it; get the file again ({thanks})")
    return rows


def _row(path: Path, line: int, row: dict[str, str | None], columns: Sequence[str]) -> dict[str, str]:
    for column in columns:
        if not row[column]:
            raise CannotRun(f"{path}, line {line}: the column {column!r} is empty; get the file again")
    return {column: row[column] or "" for column in columns}
