"""An edit as two files in a folder: `edit.safetensors` (tensors) and `edit.json` (kind, settings, provenance)."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from evenhand import __version__, find
from evenhand.core.edit import Edit
from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits.compose import kind_of
from evenhand.lm.model import LM

FORMAT = 1


@dataclass(frozen=True)
class Saved:
    """An edit read from a folder, with what was recorded beside it."""

    edit: Edit
    model: dict[str, Any]
    """Identity of the model it was fitted on."""
    provenance: dict[str, Any]
    fingerprint: str
    """Of what it does: equal ones change the same model alike."""

    def check(self, lm: LM) -> None:
        """Raise unless `lm` holds the weights the edit was fitted on (the same sha256 or hub revision)."""
        mine, theirs = lm.identity.to_json(), self.model
        for key in ("sha256", "revision"):
            if theirs.get(key) and mine.get(key) and theirs[key] != mine[key]:
                raise UsageError(
                    f"this edit was fitted on {theirs.get('source')} ({key} {str(theirs[key])[:12]}…), "
                    f"not on {mine['source']} ({str(mine[key])[:12]}…); load that model, or fit a new edit on this one"
                )


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


def load(folder: Path) -> Saved:
    """Read an edit; raises UsageError when the folder holds none and CannotRun when a file is damaged."""
    folder = Path(folder)
    if not (folder / "edit.json").is_file():
        raise UsageError(
            f"{folder}: expected a folder with edit.json and edit.safetensors, as `evenhand fit` writes it"
        )
    try:
        data: dict[str, Any] = json.loads((folder / "edit.json").read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise CannotRun(
                f"{folder}: written in format {data['format']}, this version reads {FORMAT}; update evenhand"
            )
        if data.get("tensors") != _sha256(folder / "edit.safetensors"):
            raise ValueError("edit.safetensors and edit.json do not belong together")
        tensors = load_file(folder / "edit.safetensors")
        edit: Edit = find.plugin("edits", data["kind"]).restore(tensors, data["settings"])
        does = json.dumps([data["kind"], data["settings"], data["tensors"]], sort_keys=True)
        fingerprint = hashlib.sha256(does.encode()).hexdigest()[:16]
        return Saved(edit, data["model"], data["provenance"], fingerprint)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CannotRun(f"{folder}: the edit is damaged ({type(error).__name__}: {error}); fit it again") from error
