"""The bundled model whose bias is known, and the program that plants it.

`model_path()` is the folder of the shipped model, `truth()` what is known about it, `plant()` makes such a model from a
specification.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evenhand.core.progress import Progress, silent

if TYPE_CHECKING:
    from evenhand.planted.known import Truth
    from evenhand.planted.make import Planted

_HERE = Path(__file__).parent


def model_path() -> Path:
    """Return the folder of the shipped model; `evenhand.load` and plain transformers read it."""
    return _HERE / "model"


def name_of(folder: Path) -> str:
    """Return what a local model is called: its folder's name, and `planted` for the shipped one."""
    whole = folder.resolve()
    return "planted" if whole == model_path().resolve() else whole.name


def spec_path() -> Path:
    """Return the specification the shipped model was made from."""
    return _HERE / "spec.toml"


def truth() -> Truth:
    """Return what is known about the shipped model: which units carry which gap, and how large every gap is."""
    from evenhand.planted.known import read_truth

    return read_truth(model_path(), _HERE / "truth.json")


def plant(spec_path: Path, out: Path, progress: Progress = silent) -> Planted:
    """Train a planted model as a specification says; see `evenhand.planted.make.make`."""
    from evenhand.planted.make import make

    return make(spec_path, out, progress)
