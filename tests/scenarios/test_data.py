"""Readers of public files: what they return, and that an absent, damaged or empty file is told with its path."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evenhand.core.errors import CannotRun
from evenhand.scenarios._data import Source, read_json, read_jsonl, read_lines, read_rows, read_table

SOURCE = Source("some", "CC BY 4.0", 'A. Author, "A Title"', "a place")
Read = Callable[[Path | None], Any]
READERS: dict[str, Read] = {
    "file.csv": lambda data: read_table(data, SOURCE, "file.csv", ("a",)),
    "rows.csv": lambda data: read_rows(data, SOURCE, "rows.csv", 2),
    "lines.txt": lambda data: read_lines(data, SOURCE, "lines.txt"),
    "one.json": lambda data: read_json(data, SOURCE, "one.json"),
    "many.jsonl": lambda data: read_jsonl(data, SOURCE, "many.jsonl", ("a", "b")),
    "many.jsonl.gz": lambda data: read_jsonl(data, SOURCE, "many.jsonl.gz", ("a", "b")),
}


def put(folder: Path, file: str, content: str | bytes) -> Path:
    (folder / "some").mkdir(exist_ok=True)
    raw = content.encode() if isinstance(content, str) else content
    (folder / "some" / file).write_bytes(raw)
    return folder


@pytest.mark.parametrize("file", READERS)
def test_an_absent_file_is_told_with_its_place_and_whom_to_thank(file: str, tmp_path: Path) -> None:
    with pytest.raises(CannotRun) as unset:
        READERS[file](None)
    with pytest.raises(CannotRun, match="there is no file") as absent:
        READERS[file](tmp_path)
    assert str(tmp_path / "some" / file) in str(absent.value)
    for told in (str(unset.value), str(absent.value)):
        for word in ("EVENHAND_DATA", f"some/{file}", "CC BY 4.0", "A. Author", "a place"):
            assert word in told


@pytest.mark.parametrize("file", READERS)
def test_a_file_in_another_encoding_is_refused(file: str, tmp_path: Path) -> None:
    raw = 'a,b\n"Zoé",1\n'.encode("latin-1")
    put(tmp_path, file, gzip.compress(raw) if file.endswith(".gz") else raw)
    with pytest.raises(CannotRun, match=r"cannot be read as .* in UTF-8 .*; get the file again") as caught:
        READERS[file](tmp_path)
    assert str(tmp_path / "some" / file) in str(caught.value)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("file.csv", "a,b\n"), ("rows.csv", ""), ("lines.txt", " \n\n"), ("one.json", "{}"), ("many.jsonl", "\n"),
        ("many.jsonl.gz", gzip.compress(b"")),
    ],
)  # fmt: skip
def test_an_empty_file_is_refused(file: str, content: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match=r"there are no (rows|lines|entries) in it"):
        READERS[file](put(tmp_path, file, content))


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("file.csv", 'a,b\n"x "y,1\n', "cannot be read as CSV"),
        ("file.csv", "c,b\nx,1\n", r"no column 'a' \(found: c, b\)"),
        ("file.csv", "a,b\nx,1\n,1\n", "line 3: the column 'a' is empty"),
        ("rows.csv", "x,1\ny\n", r"line 2: 2 cells expected, none empty, found \['y'\]"),
        ("rows.csv", "x,\n", r"line 1: 2 cells expected, none empty, found \['x', ''\]"),
        ("rows.csv", '"x "y,1\n', "cannot be read as CSV"),
        ("one.json", '{"a": 1', "cannot be read as JSON"),
        ("many.jsonl", '{"a": 1, "b": 2}\n{"a": 1,', "cannot be read as lines of JSON"),
        ("many.jsonl", '{"a": 1, "b": 2}\n\n{"a": 1}\n', "line 3: no key 'b'"),
        ("many.jsonl", "[1]\n", "line 1: no key 'a', 'b'"),
        ("many.jsonl.gz", b"not compressed", "cannot be read as lines of JSON"),
        ("many.jsonl.gz", gzip.compress(b'{"a": 1}')[:-9], "cannot be read as lines of JSON"),
    ],
)
def test_a_damaged_file_is_refused(file: str, content: str | bytes, told: str, tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match=told):
        READERS[file](put(tmp_path, file, content))


def test_lines_keep_their_blanks_and_end_only_where_lines_end(tmp_path: Path) -> None:
    put(tmp_path, "lines.txt", "\ufeffone \r\n\n two\rthree\x0cstill\u2028three\n")
    assert READERS["lines.txt"](tmp_path) == ["one ", " two", "three\x0cstill\u2028three"]


def test_rows_are_cells_and_tables_are_columns(tmp_path: Path) -> None:
    put(tmp_path, "rows.csv", '"a, b","c\nd"\r\n e,f\n')
    assert READERS["rows.csv"](tmp_path) == [["a, b", "c\nd"], [" e", "f"]]
    put(tmp_path, "file.csv", "\ufeffb,a\n,x\n")
    assert READERS["file.csv"](tmp_path) == [{"a": "x"}]


def test_between_tabs_a_quotation_mark_is_a_letter(tmp_path: Path) -> None:
    put(tmp_path, "file.tsv", 'a\tb\n"Yes, he said\t1\n')
    found = read_table(tmp_path, SOURCE, "file.tsv", ("a", "b"), "\t")
    assert found == [{"a": '"Yes, he said', "b": "1"}]


def test_another_encoding_can_be_named(tmp_path: Path) -> None:
    put(tmp_path, "file.csv", "a\nZoé\n".encode("mac_roman"))
    assert read_table(tmp_path, SOURCE, "file.csv", ("a",), encoding="mac_roman") == [{"a": "Zoé"}]


@pytest.mark.parametrize("file", ["many.jsonl", "many.jsonl.gz"])
def test_json_lines_are_read_compressed_or_not(file: str, tmp_path: Path) -> None:
    rows = [{"a": "x\u2028y", "b": []}, {"a": "", "b": {"c": None}}]
    raw = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    put(tmp_path, file, gzip.compress(raw) if file.endswith(".gz") else raw)
    assert READERS[file](tmp_path) == rows
    put(tmp_path, "one.json", json.dumps(rows))
    assert READERS["one.json"](tmp_path) == rows
