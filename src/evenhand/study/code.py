"""The code a cell is computed with, as fingerprints: the same question asked of other code is another cell.

A version number does not change between two commits, so the package counts by its contents: one sha256 over the source
of everything between a model and a number. It is one for all cells, because which locator or forward pass a method ends
up in is written in its code and nowhere else. Left out is what cannot change a cell: `cli`, `report` and `export` only
read cells, and so does `judge` (all that is taken from it is the name of a measure, which stands in the cell);
`planted` and `testing` make models, and the cases that `scenarios` makes have a fingerprint of their own in the cell.
A plug-in outside the package counts by its own file; what that file imports is not looked at. So does a file of data
that a setting names.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, cast

from evenhand import find
from evenhand.core.errors import UsageError
from evenhand.lm.load import folder_sha256
from evenhand.spans._chosen import setting

_PACKAGE = Path(find.__file__).parent
MAKES_NUMBERS = ("core", "edits", "lm", "locate", "measures", "methods", "spans", "study", "train")
_SOURCES = (".py", ".toml")
"""Endings of what counts in the package: code, and texts to train on."""


@cache
def package(root: Path = _PACKAGE) -> str:
    """Return the sha256 (16 characters) over names and contents of the sources that make numbers."""
    total = hashlib.sha256()
    inside = (path for part in MAKES_NUMBERS for path in (root / part).rglob("*"))
    files = [root / "find.py", *(path for path in inside if path.suffix in _SOURCES)]
    for path in sorted(files):
        total.update(f"{path.relative_to(root).as_posix()} {_sha256(path)}\n".encode())
    return total.hexdigest()[:16]


def fingerprints(plugins: Iterable[tuple[find.Kind, str]], settings: Iterable[dict[str, Any]] = ()) -> dict[str, str]:
    """Return `evenhand` and every plug-in outside it → fingerprint; raises UsageError for a name there is not.

    Every setting that is the path of a file (a locator, texts to train on, a list of words, answers that were kept) or
    of a model's folder counts by its contents, also one inside a list or written `key=value`, and also the default of a
    plug-in outside the package. What a setting leads to and is not there does not count, so a file that a first run
    writes itself makes other cells of a second one.
    """
    found = {"evenhand": package()}
    written: list[Any] = list(settings)
    for kind, name in plugins:
        file = Path(str(find.module(kind, name).__file__))
        if not file.is_relative_to(_PACKAGE):
            found[name] = _sha256(file)[:16]
            written.append(dataclasses.asdict(find.build(kind, name)))
    for each in _paths(written):
        path = Path(os.path.expandvars(each))
        if os.path.isfile(path):  # noqa: PTH113 — a long text is no path; Path.is_file raises for it
            found[each] = _sha256(path)[:16]
        elif os.path.isfile(path / "config.json"):  # noqa: PTH113
            found[each] = folder_sha256(path)[:16]
    return found


def _paths(written: object) -> Iterator[str]:
    """Every text in some settings that may be a path."""
    if isinstance(written, dict):
        written = list(cast("dict[str, object]", written).values())
    if isinstance(written, list | tuple):
        for each in cast("Sequence[object]", written):
            yield from _paths(each)
    elif isinstance(written, str) and written:
        yield written
        with suppress(UsageError):
            value: object = setting(written)[1]
            yield from [value] if isinstance(value, str) else _paths(value)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
