"""Training states on disk, written so that a kill at any moment leaves the last whole one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from evenhand import find
from evenhand.planted.spec import Spec


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state beside its place, then move it there in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def load_state(path: Path) -> dict[str, Any] | None:
    """Return the state last written, or None when there is none."""
    if not path.is_file():
        return None
    state: dict[str, Any] = torch.load(path, weights_only=True)
    return state


def key_of(spec: Spec, *parts: object) -> str:
    """Return the name of a state: it changes with the scenario and the parts of a specification it depends on."""
    scenario = find.path_of("scenarios", spec.scenario).read_text(encoding="utf-8")
    return hashlib.sha256(repr((scenario, *parts)).encode()).hexdigest()[:12]
