"""How long work reports that it is getting on: one callable, drawn by the command line, silent elsewhere."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called as `progress(label, done, total)`; labels are stable while one piece of work lasts."""


def silent(label: str, done: int, total: int) -> None:
    """Report nothing."""
