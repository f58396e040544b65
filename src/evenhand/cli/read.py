"""`evenhand read`: which of two concepts words stand for inside a model, layer by layer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evenhand.cli import options
from evenhand.core.errors import UsageError

if TYPE_CHECKING:
    from evenhand.core.represented import Represented
    from evenhand.lm.model import LM
    from evenhand.study.concepts import ReadingFile

STATES, PAGE, UNFINISHED = "states.jsonl", "report.html", "unfinished"
"""In the folder, beside the record: a line per state with all scores, the page, parts of a stopped reading."""


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
    out: Annotated[
        Path | None, typer.Option(help="Folder for the record, all scores and a page; the same again goes on in it.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a reading that is in the folder already.")
    ] = False,
    json_: options.Json = False,
) -> None:
    """Read what words stand for: their states are put in place of a word of a question, and the answer is scored.

    Beside prompts whose meaning is known, names, and random vectors; with free text and a linear probe. With --out, a
    reading that was stopped or killed goes on where it was when started again.

    Example: evenhand read my_model --reading race_or_colour --no-chat --out runs/reading
    """
    from evenhand.cli.screen import document
    from evenhand.study.concepts import load_reading

    asked = _asked(load_reading(reading), layers, targets)
    known = _known(out, replace) if out is not None else None
    lm = options.open_lm(model, chat, dtype=dtype, device=device, device_map=device_map, revision=revision,
                         trust_remote_code=trust_remote_code)  # fmt: skip
    found = _carry_out(lm, asked, out) if known is None else _again(lm, asked, known, out)
    page = _page(found, out) if out is not None else None
    if json_:
        document({**found.model_dump(mode="json"), "page": str(page) if page else None})
    else:
        _tell(found, page)


def _carry_out(lm: LM, asked: ReadingFile, out: Path | None) -> Represented:
    """Read, and keep parts while that lasts and the record at the end, where there is a folder."""
    import shutil
    from contextlib import nullcontext

    from evenhand.cli.screen import working
    from evenhand.report.load import READING
    from evenhand.study.represent import represent
    from evenhand.study.store import write

    kept = "nothing is kept of the reading; with --out FOLDER it could be gone on with"
    if out is not None:
        kept = f"what is finished is in {out}. Run the same command again: it goes on where it stopped"
    with working(lm, kept, "parts") as shown, lm.keeping(out / UNFINISHED) if out is not None else nullcontext():
        found, states = represent(lm, asked, " ".join(["evenhand", *sys.argv[1:]]), shown.cell)
    if out is not None:
        write(out / STATES, "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in states).encode())
        write(out / READING, found.model_dump_json(indent=1).encode())
        shutil.rmtree(out / UNFINISHED, ignore_errors=True)
    return found


def _again(lm: LM, asked: ReadingFile, known: Represented, out: Path | None) -> Represented:
    """Return the reading that the folder holds; raises UsageError where it is not the one that is asked for."""
    from evenhand.cli.screen import notify
    from evenhand.study.represent import same

    if not same(lm, asked, known):
        raise UsageError(
            f"{out}: holds another reading already ({known.name} of {known.model.get('source')}, {known.created}): "
            "its model, file, layers or version of evenhand differ; give another --out, or say --replace"
        )
    notify(f"{out}: this reading is there already and is not computed again; --replace does that")
    return known


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


def _known(out: Path, replace: bool) -> Represented | None:
    """Return the reading in a folder, if any; raise before the work where its result could not be written."""
    from evenhand.report.load import READING, load_reading

    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; --out names a folder")
    options.check_out(out / READING, replace=True)
    return load_reading(out) if (out / READING).exists() and not replace else None


def _page(found: Represented, out: Path) -> Path:
    from evenhand.report import render_reading

    return render_reading(found, out / PAGE)


def _tell(found: Represented, page: Path | None) -> None:
    """Print the tables and what they come to."""
    from evenhand.cli.screen import table
    from evenhand.report import represented as report

    pair = report.shown(found)
    for each in (report.questions(found), report.by_layer(found, pair.target), report.free(found), report.probe(found)):
        if each.rows:
            table(each.caption, list(each.head), [list(map(_line, row)) for row in each.rows])
    for line in (*report.summary(found), *found.notes):
        print(line)
    if page is not None:
        print(f"page: {page}")


def _line(text: str) -> str:
    return text.replace("\n", "⏎")
