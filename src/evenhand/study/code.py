"""The code a cell is computed with, as fingerprints: the same question asked of other code is another cell.

A version number does not change between two commits, so the package counts by its contents: one sha256 over the source
of everything between a model and a number. It is one for all cells, because which locator or forward pass a method ends
up in is written in its code and nowhere else. Left out is what cannot change a cell: `cli`, `report` and `export` only
read cells, and so does `judge` (all that is taken from it is the name of a measure, which stands in the cell);
`planted` and `testing` make models, and the cases that `scenarios` makes have a fingerprint of their own in the cell.
A plug-in outside the package counts by its own file; what that file imports is not looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from evenhand import find

_PACKAGE = Path(find.__file__).parent
MAKES_NUMBERS = ("core", "edits", "lm", "locate", "measures", "methods", "spans", "study", "train")
_SOURCES = (".py", ".toml")
"""Endings of what counts: code, and texts to train on."""


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

    A setting that is the path of a Python or TOML file (such as a locator that a method is told to use, or texts to
    train on) counts as a plug-in.
    """
    found = {"evenhand": package()}
    for kind, name in plugins:
        file = Path(str(find.module(kind, name).__file__))
        if not file.is_relative_to(_PACKAGE):
            found[name] = _sha256(file)[:16]
    for value in (value for each in settings for value in each.values()):
        if isinstance(value, str) and value.endswith(_SOURCES) and Path(value).is_file():
            found[value] = _sha256(Path(value))[:16]
    return found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
