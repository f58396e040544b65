"""`evenhand read`: which of two concepts words stand for inside a model, layer by layer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evenhand.cli import options
from evenhand.core.errors import UsageError

if TYPE_CHECKING:
    from evenhand.core.represented import Represented
    from evenhand.study.concepts import ReadingFile

RECORD, STATES, PAGE = "reading.json", "states.jsonl", "report.html"
"""Files in the folder: the record, a line per state with all log-probabilities, the page."""


def read(
    model: options.Model,
    reading: Annotated[
        str, typer.Option("--reading", "-r", help="A reading's name, or the path of your own file.")
    ] = "race_or_colour",
    layers: Annotated[
        str | None, typer.Option(help="Layers to read from, such as 0,5,10; -1 is the embedding. Default: all.")
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(help="Layers to put states into. Default: at most eight, over the first three quarters."),
    ] = None,
    chat: options.Chat = None,
    dtype: options.DType = "float32",
    device: options.Device = None,
    device_map: options.DeviceMap = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the record, all scores and a page.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a reading that is in the folder already.")
    ] = False,
    json_: options.Json = False,
) -> None:
    """Read what words stand for: their states are put in place of a word of a question, and the answer is scored.

    Beside prompts whose meaning is known, names, and random vectors; with free text and a linear probe.

    Example: evenhand read my_model --reading race_or_colour --no-chat --out runs/reading
    """
    from evenhand.cli.screen import document, working
    from evenhand.study.concepts import load_reading
    from evenhand.study.represent import represent

    asked = _asked(load_reading(reading), layers, targets)
    if out is not None:
        _check(out, replace)
    lm = options.open_lm(model, chat, dtype=dtype, device=device, device_map=device_map, revision=revision,
                         trust_remote_code=trust_remote_code)  # fmt: skip
    with working(lm, "nothing is kept of the reading"):
        found, states = represent(lm, asked, " ".join(["evenhand", *sys.argv[1:]]))
    page = _write(out, found, states) if out is not None else None
    if json_:
        document({**found.model_dump(mode="json"), "page": str(page) if page else None})
    else:
        _tell(found, page)


def _asked(reading: ReadingFile, layers: str | None, targets: str | None) -> ReadingFile:
    """The reading with the layers that were asked for."""
    given = {"layers": _numbers("--layers", layers), "targets": _numbers("--targets", targets)}
    return reading.model_copy(update={key: value for key, value in given.items() if value is not None})


def _numbers(name: str, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.removeprefix("-").isdecimal() for part in parts):
        raise UsageError(f"{name} {text!r}: write numbers of layers with commas between, such as {name} 0,5,10")
    return tuple(sorted({int(part) for part in parts}))


def _check(out: Path, replace: bool) -> None:
    """Raise before the work where its result could not be written, or would replace another."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; --out names a folder")
    if (out / RECORD).exists() and not replace:
        raise UsageError(f"{out}: holds a reading already; give another --out, or say --replace")
    options.check_out(out / RECORD, replace)


def _write(out: Path, found: Represented, states: list[dict[str, Any]]) -> Path:
    from evenhand.report import render_reading
    from evenhand.study.store import write

    write(out / STATES, "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in states).encode())
    write(out / RECORD, found.model_dump_json(indent=1).encode())
    return render_reading(found, out / PAGE)


def _tell(found: Represented, page: Path | None) -> None:
    """Print the tables and what they come to."""
    from evenhand.cli.screen import table
    from evenhand.report import represented as report

    pair = report.shown(found)
    for each in (report.questions(found), report.by_layer(found, pair.target), report.free(found), report.probe(found)):
        if each.rows:
            table(each.caption, list(each.head), [list(map(_line, row)) for row in each.rows])
    for line in report.summary(found):
        print(line)
    if page is not None:
        print(f"page: {page}")


def _line(text: str) -> str:
    return text.replace("\n", "⏎")
