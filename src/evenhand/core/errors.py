"""The two ways evenhand stops: the user asked for something wrong, or it could not be done here."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EvenhandError(Exception):
    """Base of every error evenhand raises on purpose; its text says what was wrong and what to try."""

    exit_code = 3


class UsageError(EvenhandError):
    """The input is wrong: a mistyped key, an empty group, an unknown name (exit code 2)."""

    exit_code = 2


class CannotRun(EvenhandError):
    """The input is fine but this model, machine or disk cannot do it (exit code 3)."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the closest of `known`, or an empty string when nothing is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
