"""The state of a training on disk: whole or not there at all, and named after everything it depends on."""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from evenhand.core.errors import CannotRun
from evenhand.lm.model import LM
from evenhand.train.contracts import Objective, Recipe, Values

_FORMAT = 2
_SECONDS, _SHARE = 30.0, 20.0
"""Between two writings, or so many times as long as the last one took, whichever is longer."""


class Keeper:
    """Writes and reads the state of one training; without a workplace it does neither."""

    def __init__(self, lm: LM, key: str) -> None:
        self.path = lm.workplace / f"training-{key}.pt" if lm.workplace else None
        self.notify = lm.notify
        self.start = time.monotonic()
        self.due = self.start + _SECONDS

    def restored(self) -> dict[str, Any] | None:
        """Return the state last written, or None; a damaged one is told and not used."""
        if self.path is None or not self.path.is_file():
            return None
        try:
            with zipfile.ZipFile(self.path) as parts:
                damaged = parts.testzip()
            if damaged is None:
                return torch.load(self.path, map_location="cpu", weights_only=True)
            error = f"its part {damaged} has other contents than were written"
        except (OSError, RuntimeError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as found:
            error = str(found).split("\n")[0] or type(found).__name__
        self.notify(f"training: the state {self.path} is damaged ({error}); training starts afresh")
        return None

    def write_when_due(self, state: Callable[[], dict[str, Any]]) -> None:
        """Write once in a while."""
        if self.path is not None and time.monotonic() >= self.due:
            self.write(state())

    def write_at_end(self, state: Callable[[], dict[str, Any]]) -> None:
        """Write what came out, unless it is made again faster than a state is due."""
        if self.path is not None and (self.path.exists() or time.monotonic() >= self.start + _SECONDS):
            self.write(state())

    def write(self, state: dict[str, Any]) -> None:
        """Write now: a file beside the place, flushed to disk and moved there. Raises CannotRun where that fails."""
        if self.path is None:
            return
        start, partial = time.monotonic(), self.path.with_suffix(".partial")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)
        except (OSError, RuntimeError) as error:
            partial.unlink(missing_ok=True)
            raise CannotRun(
                f"{self.path}: the state of a training cannot be written ({_cause(error)}); free some space or choose "
                "another output folder, then run the same command again: it goes on from the state written before"
            ) from error
        now = time.monotonic()
        self.due = now + max(_SECONDS, _SHARE * (now - start))


def key_of(
    lm: LM, objective: Objective, recipe: Recipe, watches: Sequence[object], original: Values, keep: set[int]
) -> str:
    """Return the name of a state: it changes with everything that the training depends on."""
    about = {
        "format": _FORMAT,
        "model": lm.identity.to_json(),
        "recipe": asdict(recipe),
        "objective": objective.digest(),
        "watches": [_about(watch) for watch in watches],
        "keep": sorted(keep),
        "parameters": _bits(original),
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def _cause(error: BaseException) -> str:
    """What the disk said, which torch reports as an error of its own."""
    below = error.__cause__ or error.__context__
    if isinstance(error, OSError) or below is None:
        return getattr(error, "strerror", None) or str(error).split("\n")[0]
    return _cause(below)


def _about(watch: object) -> str:
    """What a guard is known by: its own `digest` where it has one; else its kind and how often it looks."""
    digest = getattr(watch, "digest", None)
    own = str(digest()) if callable(digest) else str(getattr(watch, "every", ""))
    return f"{type(watch).__module__}.{type(watch).__qualname__}:{own}"


def _bits(values: Mapping[str, Tensor]) -> str:
    """Digest of names, shapes and bits."""
    total = hashlib.sha256()
    for name, value in values.items():
        total.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        total.update(value.contiguous().view(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
