"""Files of public benchmarks: under EVENHAND_DATA, else downloaded once where that is pinned; absent ones are told.

Downloads are kept under EVENHAND_CACHE (default: the user's cache folder); with EVENHAND_OFFLINE set none is tried.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn, cast

from evenhand.core.errors import CannotRun


@dataclass(frozen=True, slots=True)
class Source:
    """A public data set: its folder under EVENHAND_DATA, and whom to thank for it."""

    folder: str
    licence: str
    citation: str
    origin: str
    """Where to get it."""
    pinned: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    """File → where it can be downloaded as it stands, and its sha256 (hex); other files must be put there by hand."""

    @property
    def thanks(self) -> str:
        """What every error about its files ends with."""
        return f"licence {self.licence}; cite {self.citation}; from {self.origin}"


def read_table(
    data: Path | None, source: Source, file: str, columns: Sequence[str], delimiter: Literal[",", "\t"] = ",",
    encoding: str = "utf-8-sig",
) -> list[dict[str, str]]:  # fmt: skip
    """Return these columns of a table with a header; raises CannotRun when it is absent, damaged or has no rows.

    A cell of these columns may not be empty, unless the column is asked for with a question mark after its name; no row
    may have more cells than the header. Between tabs a quotation mark is a letter like any other.
    """
    path = _path(data, source, file)
    quoting = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
    try:
        stream = io.StringIO(_text(path, encoding), newline="")
        reader = csv.DictReader(stream, delimiter=delimiter, quoting=quoting, strict=True, restkey=_SURPLUS)
        asked = {column.removesuffix("?"): not column.endswith("?") for column in columns}
        missing = [column for column in asked if column not in (reader.fieldnames or ())]
        if missing:
            raise CannotRun(
                f"{path}: no column {', '.join(map(repr, missing))} (found: {', '.join(reader.fieldnames or ())}); "
                f"get the file again ({source.thanks})"
            )
        rows = [_row(path, reader.line_num, row, asked) for row in reader]
    except _DAMAGE as error:
        _damaged(path, source, _what("CSV" if delimiter == "," else "TSV", encoding), error)
    return _some(rows, path, source, "rows")


def read_rows(data: Path | None, source: Source, file: str, cells: int) -> list[list[str]]:
    """Return the rows of a CSV file without header, each of so many cells; raises CannotRun as `read_table` does."""
    path = _path(data, source, file)
    try:
        reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
        rows: list[list[str]] = []
        for row in reader:
            if len(row) != cells or not all(row):
                raise CannotRun(
                    f"{path}, line {reader.line_num}: {cells} cells expected, none empty, found {row}; get the file "
                    f"again ({source.thanks})"
                )
            rows.append(row)
    except _DAMAGE as error:
        _damaged(path, source, "CSV in UTF-8", error)
    return _some(rows, path, source, "rows")


def read_lines(data: Path | None, source: Source, file: str, blank: bool = False) -> list[str]:
    """Return the lines of a text as they stand but for their ends, blank ones only if asked for; raises CannotRun."""
    path = _path(data, source, file)
    try:
        with io.StringIO(_text(path), newline=None) as stream:  # not splitlines, which also cuts at form feeds
            lines = [line.removesuffix("\n") for line in stream if blank or line.strip()]
    except _DAMAGE as error:
        _damaged(path, source, "text in UTF-8", error)
    return _some(lines, path, source, "lines")


def read_json(data: Path | None, source: Source, file: str) -> Any:
    """Return the one JSON document in a file; raises CannotRun when it is absent, damaged or empty."""
    path = _path(data, source, file)
    try:
        found: Any = json.loads(_text(path))
    except _DAMAGE as error:
        _damaged(path, source, "JSON in UTF-8", error)
    return _some(found, path, source, "entries")


def read_jsonl(data: Path | None, source: Source, file: str, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Return the objects of a file with one JSON object per line (`.gz`: compressed), each of which has these keys.

    Values may be of any type and empty; raises CannotRun when the file is absent, damaged or has no lines.
    """
    path = _path(data, source, file)
    try:
        lines = _text(path).split("\n")  # not splitlines, which also cuts at separators that JSON allows in a text
        rows = [_object(path, number, line, keys) for number, line in enumerate(lines, 1) if line.strip()]
    except _DAMAGE as error:
        _damaged(path, source, "lines of JSON in UTF-8", error)
    return _some(rows, path, source, "lines")


_SURPLUS = "cells beyond the last column"
_DAMAGE = (csv.Error, json.JSONDecodeError, UnicodeDecodeError, gzip.BadGzipFile, EOFError, zlib.error)


def _path(data: Path | None, source: Source, file: str) -> Path:
    wanted = f"{source.folder}/{file}"
    if data is not None and (data / wanted).is_file():
        return data / wanted
    tried = ""
    if file in source.pinned:
        try:
            return _download(source, file)
        except (OSError, ValueError) as error:
            tried = f"; it could not be downloaded from {source.pinned[file][0]} ({error})"
    if data is None:
        raise CannotRun(
            f"this pack reads {wanted}, which is not shipped: set the environment variable EVENHAND_DATA to the folder "
            f"that holds {wanted} ({source.thanks}){tried}"
        )
    raise CannotRun(
        f"there is no file {data / wanted}: put it there, or let EVENHAND_DATA name another folder "
        f"({source.thanks}){tried}"
    )


def _download(source: Source, file: str) -> Path:
    """Return the pinned file from the cache, fetched when it is not there as pinned; raises OSError or ValueError."""
    import pooch

    url, sha256 = source.pinned[file]
    folder = Path(os.environ.get("EVENHAND_CACHE") or pooch.os_cache("evenhand")).expanduser() / source.folder
    path = folder / file
    if path.is_file() and pooch.file_hash(str(path)) == sha256:
        return path
    if os.environ.get("EVENHAND_OFFLINE"):
        raise OSError("EVENHAND_OFFLINE is set")
    if not folder.is_dir():
        sys.stderr.write(f"{source.folder} is downloaded to {folder}: {source.thanks}\n")
    pooch.get_logger().setLevel("WARNING")
    fetch: Any = pooch.HTTPDownloader(progressbar=sys.stderr.isatty())
    pooch.retrieve(url, known_hash=f"sha256:{sha256}", fname=path.name, path=path.parent, downloader=fetch)
    return path


def _text(path: Path, encoding: str = "utf-8-sig") -> str:
    read = path.read_bytes()
    return (gzip.decompress(read) if path.suffix == ".gz" else read).decode(encoding)


def _what(form: str, encoding: str) -> str:
    return f"{form} in {'UTF-8' if encoding == 'utf-8-sig' else encoding}"


def _damaged(path: Path, source: Source, form: str, error: Exception) -> NoReturn:
    raise CannotRun(f"{path}: cannot be read as {form} ({error}); get the file again ({source.thanks})") from error


def _some(found: Any, path: Path, source: Source, what: str) -> Any:
    if not found:
        raise CannotRun(f"{path}: there are no {what} in it; get the file again ({source.thanks})")
    return found


def _row(path: Path, line: int, row: dict[str, str | None], columns: Mapping[str, bool]) -> dict[str, str]:
    """Return these columns of a row; what is true of may not be empty."""
    if _SURPLUS in row:
        raise CannotRun(f"{path}, line {line}: more cells than the header has columns; get the file again")
    for column, filled in columns.items():
        if filled and not row[column]:
            raise CannotRun(f"{path}, line {line}: the column {column!r} is empty; get the file again")
    return {column: row[column] or "" for column in columns}


def _object(path: Path, number: int, line: str, keys: Sequence[str]) -> dict[str, Any]:
    loaded: Any = json.loads(line)
    found = cast("dict[str, Any]", loaded) if isinstance(loaded, dict) else {}
    missing = [key for key in keys if key not in found]
    if missing:
        raise CannotRun(f"{path}, line {number}: no key {', '.join(map(repr, missing))}; get the file again")
    return found
