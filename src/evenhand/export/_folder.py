"""A folder that appears complete or not at all."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError

from evenhand.core.errors import CannotRun, UsageError
from evenhand.lm.model import LM


def check_target(lm: LM, target: Path, replace: bool, holds: str = "config.json", what: str = "checkpoint") -> None:
    """Raise UsageError for a folder in use, unless it is to be replaced and holds what would be written there."""
    if Path(lm.identity.source).is_dir() and Path(lm.identity.source).resolve() == target:
        raise UsageError(f"{target}: this is the model itself; give another folder for the edited copy")
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target}: is a file; give a folder")
    if target.is_dir() and any(target.iterdir()):
        if not replace:
            raise UsageError(f"{target}: is not empty; give a new folder, or say --replace")
        if not (target / holds).is_file():
            raise UsageError(f"{target}: holds no {what} (no {holds}), so it is not replaced; empty it yourself")


@contextmanager
def folder_of(target: Path) -> Generator[Path]:
    """Give a folder beside the target that is gone afterwards; turn failures of the disk into one plain sentence."""
    folder = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.part"
    try:
        folder.mkdir(parents=True)
        yield folder
    except (OSError, SafetensorError) as error:
        raise CannotRun(
            f"{target}: cannot be written ({error}); nothing was kept. Is the disk full, or the folder read-only?"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def place(scratch: Path, target: Path) -> None:
    """Move the finished folder to its place; what was there goes last, and comes back if that fails."""
    if not target.exists():
        scratch.rename(target)
        return
    old = scratch.with_suffix(".old")
    target.rename(old)
    try:
        scratch.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def memory() -> Generator[None]:
    """Say in plain words that a second copy of the model does not fit."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise CannotRun(f"no memory for a second copy of the model, which is needed here ({error})") from error
