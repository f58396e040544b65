"""An edit as two files in a folder: `edit.safetensors` (tensors) and `edit.json` (kind, settings, provenance).

`load_edit` is how an edit that was saved comes back to a model: it compares that model with the one it was fitted on.
In a folder's place there may be a control vector, a GGUF file: it is added at all tokens, with strength 1.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from evenhand import __version__, find
from evenhand.core.edit import Edit
from evenhand.core.errors import CannotRun, EvenhandError, UsageError
from evenhand.edits._gguf import directions
from evenhand.edits.compose import kind_of
from evenhand.edits.steer import Steer
from evenhand.lm.model import LM

FORMAT = 1
_FIELDS = {"format": int, "kind": str, "settings": dict, "tensors": str, "model": dict, "provenance": dict}


@dataclass(frozen=True)
class Saved:
    """An edit read from a folder, with what was recorded beside it."""

    unchecked: Edit
    """To look at; to apply it ask `on` for it, or it changes whatever model it is given."""
    model: dict[str, Any]
    """Identity of the model it was fitted on."""
    provenance: dict[str, Any]
    fingerprint: str
    """Of what it does: equal ones change the same model alike."""

    def on(self, lm: LM) -> Edit:
        """Return the edit; raises UsageError where `lm` has not the weights it was fitted on (sha256 or revision).

        `LM.notify` is told where that cannot be known.
        """
        mine, theirs = lm.identity.to_json(), self.model
        both = [key for key in ("sha256", "revision") if theirs.get(key) and mine.get(key)]
        for key in both:
            if theirs[key] != mine[key]:
                raise UsageError(
                    f"this edit was fitted on {theirs.get('source')} ({key} {str(theirs[key])[:12]}…), "
                    f"not on {mine['source']} ({str(mine[key])[:12]}…); load that model, or fit a new edit on this one"
                )
        if not both and (theirs.get("sha256") or theirs.get("revision")):
            lm.notify(
                f"this edit was fitted on {theirs.get('source')}; whether {mine['source']} holds the same weights "
                "cannot be told: one is known by its folder's sha256, the other by its hub revision, or by nothing"
            )
        return self.unchecked


def save(edit: Edit, folder: Path, model: dict[str, Any], provenance: dict[str, Any]) -> None:
    """Write an edit to a folder that appears complete or not at all; an earlier edit there is replaced."""
    folder = Path(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            tensors = {name: t.contiguous() for name, t in edit.tensors().items()}
            save_file(tensors or {"empty": torch.zeros(0)}, Path(scratch) / "edit.safetensors")
            # The two files are replaced one after the other; this tells a pair that a kill has torn apart.
            digest = _sha256(Path(scratch) / "edit.safetensors")
            record = {
                "format": FORMAT, "evenhand": __version__, "kind": kind_of(edit), "describes": edit.describe(),
                "settings": edit.settings(), "tensors": digest, "model": model, "provenance": provenance,
            }  # fmt: skip
            text = json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False)
            (Path(scratch) / "edit.json").write_text(text, encoding="utf-8")
            folder.mkdir(exist_ok=True)
            for name in ("edit.safetensors", "edit.json"):
                (Path(scratch) / name).replace(folder / name)
    except (OSError, SafetensorError) as error:
        raise CannotRun(f"{folder}: the edit cannot be written ({error}); nothing was changed there") from error


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_edit(folder: str | Path, lm: LM) -> Edit:
    """Return a saved edit for the model it was fitted on; raises UsageError for another one, and as `load`."""
    return load(Path(folder)).on(lm)


def load(folder: Path) -> Saved:
    """Read an edit; raises UsageError when the folder holds none, CannotRun when its files are damaged or newer.

    Of a control vector (`NAME.gguf`) nobody knows which model it is for: only its width is compared, when it is used.
    """
    folder = Path(folder)
    if folder.suffix == ".gguf" and not folder.is_dir():
        found = directions(folder)
        vectors = Steer(tuple(found), torch.stack([*found.values()]))
        return Saved(vectors, {}, {"control vector": folder.name}, _sha256(folder)[:16])
    if not (folder / "edit.json").is_file():
        raise UsageError(
            f"{folder}: expected a folder with edit.json and edit.safetensors, as `evenhand fit` writes it, or a "
            "control vector, NAME.gguf"
        )
    data = _record(folder / "edit.json")
    edit = _restored(folder, data, _tensors(folder / "edit.safetensors", data["tensors"]))
    does = json.dumps([data["kind"], data["settings"], data["tensors"]], sort_keys=True)
    fingerprint = hashlib.sha256(does.encode()).hexdigest()[:16]
    return Saved(edit, data["model"], data["provenance"], fingerprint)


def _damaged(what: str) -> CannotRun:
    return CannotRun(f"{what}; copy the edit's whole folder again, or fit it again")


def _record(path: Path) -> dict[str, Any]:
    """What edit.json says, of this format and complete."""
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _damaged(f"{path}: the file cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise _damaged(f"{path}: the file is damaged: it is cut off, or no JSON") from error
    known = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    if known.get("format", FORMAT) != FORMAT:
        raise CannotRun(
            f"{path}: written by evenhand {known.get('evenhand')} in format {known['format']}, this version "
            f"({__version__}) reads {FORMAT}; update evenhand"
        )
    if wrong := [name for name, kind in _FIELDS.items() if not isinstance(known.get(name), kind)]:
        raise _damaged(f"{path}: the file is damaged: {wrong[0]!r} is missing or no {_FIELDS[wrong[0]].__name__}")
    return known


def _tensors(path: Path, digest: str) -> dict[str, torch.Tensor]:
    """What edit.safetensors holds, if it is the one that was saved with its edit.json."""
    try:
        same, found = _sha256(path) == digest, load_file(path)
    except FileNotFoundError as error:
        raise _damaged(f"{path}: the file is missing") from error
    except OSError as error:
        raise _damaged(f"{path}: the file cannot be read ({error.strerror})") from error
    except SafetensorError as error:
        raise _damaged(f"{path}: the file is damaged: it is cut off, or no safetensors file") from error
    if not same:
        raise _damaged(f"{path}: the file and edit.json do not belong together: one is of another edit, or was changed")
    return found


def _restored(folder: Path, data: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Edit:
    """The edit of this kind, settings and tensors."""
    kind = data["kind"]
    try:
        return find.plugin("edits", kind).restore(tensors, data["settings"])
    except EvenhandError as error:
        raise type(error)(
            f"{folder}: {error}. The edit was written by evenhand {data.get('evenhand')}, this is {__version__}: an "
            "older one has to be updated, and a kind of edit of your own must be where it was"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        named = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        why = "a value has another type" if isinstance(error, TypeError) else named
        raise _damaged(f"{folder}: the settings or tensors are not those of an edit of kind {kind!r}: {why}") from error
