"""Readers of public files: what they return, and that an absent, damaged or empty file is told with its path."""

from __future__ import annotations

import gzip
import hashlib
import json
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


def packed(raw: bytes) -> bytes:
    return gzip.compress(raw, mtime=0)  # a clock in a parameter would name the test differently in every process


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
    put(tmp_path, file, packed(raw) if file.endswith(".gz") else raw)
    with pytest.raises(CannotRun, match=r"cannot be read as .* in UTF-8 .*; get the file again") as caught:
        READERS[file](tmp_path)
    assert str(tmp_path / "some" / file) in str(caught.value)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("file.csv", "a,b\n"), ("rows.csv", ""), ("lines.txt", " \n\n"), ("one.json", "{}"), ("many.jsonl", "\n"),
        ("many.jsonl.gz", packed(b"")),
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
        ("many.jsonl.gz", packed(b'{"a": 1}')[:-9], "cannot be read as lines of JSON"),
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


def test_a_column_asked_for_with_a_question_mark_may_be_empty_but_not_absent(tmp_path: Path) -> None:
    put(tmp_path, "file.csv", "a,b\nx,\n")
    assert read_table(tmp_path, SOURCE, "file.csv", ("a", "b?")) == [{"a": "x", "b": ""}]
    with pytest.raises(CannotRun, match="the column 'b' is empty"):
        read_table(tmp_path, SOURCE, "file.csv", ("a", "b"))
    with pytest.raises(CannotRun, match="no column 'c'"):
        read_table(tmp_path, SOURCE, "file.csv", ("a", "c?"))


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
    put(tmp_path, file, packed(raw) if file.endswith(".gz") else raw)
    assert READERS[file](tmp_path) == rows
    put(tmp_path, "one.json", json.dumps(rows))
    assert READERS["one.json"](tmp_path) == rows


BODY = "a,b\nx,1\n" * 5000
"""Large enough to be served in several pieces."""


class Served:
    """A server on this machine that hands out BODY and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(404 if "gone" in self.path else 200)
                self.end_headers()
                self.wfile.write(BODY.encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def source(self, file: str = "file.csv", body: str = BODY) -> Source:
        url = f"http://127.0.0.1:{self.server.server_port}/{file}"
        pin = (url, hashlib.sha256(body.encode()).hexdigest())
        return Source("some", "CC BY 4.0", 'A. Author, "A Title"', "a place", {"part/file.csv": pin})


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Served]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EVENHAND_OFFLINE")
    server = Served()
    yield server
    server.server.shutdown()
    server.server.server_close()


def get(source: Source, data: Path | None = None) -> list[dict[str, str]]:
    return read_table(data, source, "part/file.csv", ("a",))


def test_a_pinned_file_is_downloaded_once_and_its_makers_are_named_once(
    served: Served, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert get(served.source())[:1] == [{"a": "x"}]
    told = capfd.readouterr().err
    for word in ("CC BY 4.0", "A. Author", "a place", str(tmp_path / "cache" / "some")):
        assert word in told
    assert told.count("\n") == 1
    monkeypatch.setenv("EVENHAND_OFFLINE", "1")
    assert len(get(served.source(), tmp_path)) == len(BODY.split()) - 1
    assert served.asked == ["/file.csv"]
    assert capfd.readouterr().err == ""


def test_a_file_that_is_already_there_is_not_downloaded(served: Served, tmp_path: Path) -> None:
    (tmp_path / "some" / "part").mkdir(parents=True)
    (tmp_path / "some" / "part" / "file.csv").write_text("a\nmine\n")
    assert get(served.source(), tmp_path) == [{"a": "mine"}]
    assert served.asked == []


def test_a_download_that_is_not_what_was_pinned_is_refused_and_not_kept(served: Served, tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match=r"could not be downloaded from http.*hash of downloaded file"):
        get(served.source(body="another"))
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_kept_file_that_was_changed_is_downloaded_again(served: Served, tmp_path: Path) -> None:
    get(served.source())
    kept = tmp_path / "cache" / "some" / "part" / "file.csv"
    kept.write_text("a\nchanged\n")
    assert get(served.source())[:1] == [{"a": "x"}]
    assert served.asked == ["/file.csv"] * 2


@pytest.mark.parametrize("data", [None, Path("elsewhere")])
@pytest.mark.parametrize("how", ["offline", "switched off", "gone"])
def test_when_it_cannot_be_downloaded_the_error_says_where_to_put_it(
    served: Served, how: str, data: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = served.source("gone.csv" if how == "gone" else "file.csv")
    if how == "offline":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}/file.csv"
        source = Source("some", "CC BY 4.0", "A. Author", "a place", {"part/file.csv": (url, "0" * 64)})
    if how == "switched off":
        monkeypatch.setenv("EVENHAND_OFFLINE", "1")
    with pytest.raises(CannotRun) as caught:
        get(source, data)
    why = {"offline": "refused", "switched off": "EVENHAND_OFFLINE is set", "gone": "404"}[how]
    where = "elsewhere/some/part/file.csv: put it there" if data else "the folder that holds some/part/file.csv"
    for word in (why, where, source.pinned["part/file.csv"][0], "EVENHAND_DATA", "CC BY 4.0", "A. Author"):
        assert word in str(caught.value)


def test_a_full_disk_is_told_and_leaves_nothing(served: Served, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(CannotRun, match=r"could not be downloaded from http.*File too large"):
            get(served.source())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
