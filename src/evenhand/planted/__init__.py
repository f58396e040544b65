"""The bundled models whose bias is known, and the program that plants them.

`model_path()` is the folder of a shipped model, `truth()` what is known about `planted`, `record()` the same of any of
them as it stands in its file; `plant()` makes such a model from a specification.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.core.errors import UsageError, nearest
from evenhand.core.progress import Progress, silent

if TYPE_CHECKING:
    from evenhand.planted.known import Truth
    from evenhand.planted.make import Planted

_HERE = Path(__file__).parent
BUNDLED = {"planted": _HERE, "planted-ambiguous": _HERE / "ambiguous"}
"""Name → the folder with the model, its specification and what was measured."""


def model_path(name: str = "planted") -> Path:
    """Return the folder of a shipped model; `evenhand.load` and plain transformers read it."""
    return _folder(name) / "model"


def name_of(folder: Path) -> str:
    """Return what a local model is called: its folder's name, and for a shipped one the name it is shipped under."""
    whole = folder.resolve()
    shipped = {model_path(name).resolve(): name for name in BUNDLED}
    return shipped.get(whole, whole.name)


def spec_path(name: str = "planted") -> Path:
    """Return the specification a shipped model was made from."""
    return _folder(name) / "spec.toml"


def truth() -> Truth:
    """Return what is known about `planted`: which units carry which gap, and how large every gap is."""
    from evenhand.planted.known import read_truth

    return read_truth(model_path(), _HERE / "truth.json")


def record(name: str) -> dict[str, Any]:
    """Return what was asked for and measured when a shipped model was made, as it stands in its file."""
    found: dict[str, Any] = json.loads((_folder(name) / "truth.json").read_text(encoding="utf-8"))
    return found


def plant(spec_path: Path, out: Path, progress: Progress = silent) -> Planted:
    """Train a model as a specification says: with ambiguous words where its `kind` says so, else with planted units.

    See `evenhand.planted.make.make` and `evenhand.planted.ambiguous.make.make`.
    """
    from evenhand.planted import make
    from evenhand.planted.ambiguous import make as ambiguous

    return (ambiguous if _kind(spec_path) == "ambiguous" else make).make(spec_path, out, progress)


def _kind(path: Path) -> object:
    """Return the kind that a specification names; None also where it cannot be read, which `make` explains."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")).get("kind")
    except (OSError, tomllib.TOMLDecodeError):
        return None


def _folder(name: str) -> Path:
    if name not in BUNDLED:
        raise UsageError(
            f"no bundled model is called {name!r}{nearest(name, BUNDLED)} (there are: {', '.join(BUNDLED)})"
        )
    return BUNDLED[name]
