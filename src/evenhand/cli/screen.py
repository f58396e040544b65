"""What the user sees while work goes on: bars and plain lines on stderr, tables on stdout."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from evenhand.lm.model import LM


_QUIET = 30.0
"""Seconds between two lines about the progress of work, where there is no terminal."""


def notify(line: str) -> None:
    """Print one plain line on stderr."""
    print(f"evenhand: {line}", file=sys.stderr)


@dataclass
class Bars:
    """Two bars on stderr: the cells of a run (or whatever it is made of), and the work inside the current one."""

    bars: RichProgress
    what: str = "cells"
    inside: dict[str, tuple[TaskID, float, int]] = field(default_factory=dict[str, Any])
    """Piece of work → its bar, and when it was first heard of and how far it was then."""
    cells: TaskID | None = None
    started: float = field(default_factory=time.monotonic)
    fresh: int = 0
    said: float = field(default_factory=time.monotonic)
    """When a line last said how far the work is; only where there is no terminal to draw bars on."""
    whole: str = ""
    """How far the run is, for those lines."""

    def progress(self, label: str, done: int, total: int) -> None:
        """Show how far one piece of work is; a piece that is done disappears. In a log: a line now and then."""
        if label not in self.inside:
            self.inside[label] = self.bars.add_task(label, total=total), time.monotonic(), done
        bar, began, first = self.inside[label]
        if self.bars.disable and done < total and time.monotonic() - self.said > _QUIET:
            self.said = time.monotonic()
            left = (self.said - began) / (done - first) * (total - done) if done > first else math.nan
            about = f", about {clock(left)} left" if math.isfinite(left) else ""
            self.line(f"{label}: {done} of {total}{about}{self.whole}")
        self.bars.update(bar, completed=done, total=total)
        if done >= total:
            self.bars.remove_task(self.inside.pop(label)[0])

    def cell(self, place: int, total: int, fresh: bool) -> None:
        """Show how many cells have ended, and about how long the rest takes at the pace of those computed now."""
        while self.inside:  # what a cell was at when it could not go on
            self.bars.remove_task(self.inside.popitem()[1][0])
        self.fresh += fresh
        left = (time.monotonic() - self.started) / self.fresh * (total - place) if self.fresh else 0.0
        about = f", about {clock(left)} left" if self.fresh and place < total else ""
        text, self.whole = f"{self.what}{about}", f" ({self.what}: {place} of {total}{about})"
        if self.cells is None:
            self.cells = self.bars.add_task(text, total=total)
        self.bars.update(self.cells, completed=place, total=total, description=text)

    def line(self, text: str) -> None:
        """Print a line above the bars."""
        self.bars.console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def bars(what: str = "cells") -> Generator[Bars]:
    """Show bars while the block runs (plain lines only, where stderr is no terminal)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        yield Bars(shown, what)


@contextmanager
def working(lm: LM, kept: str, what: str = "cells") -> Generator[Bars]:
    """Show how far a locator or a method is with a model; Ctrl-C says what is kept of it, and exits with 130."""
    import typer

    from evenhand.cli.main import INTERRUPTED

    try:
        with bars(what) as shown, lm.reporting(shown.progress):
            yield shown
    except KeyboardInterrupt:
        notify(f"stopped; {kept}")
        raise typer.Exit(INTERRUPTED) from None


def clock(seconds: float) -> str:
    """Return a duration as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def document(value: Any) -> None:
    """Print one JSON document on stdout; what is undefined or infinite is null, because JSON has no word for it."""
    print(json.dumps(_plain(value), ensure_ascii=False, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in cast("list[Any]", value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(title: str, head: list[str], body: list[list[str]]) -> None:
    """Print a table on stdout, as wide as it needs to be, so that it can be piped and pasted."""
    print(lines_of(title, head, body))


def lines_of(title: str, head: list[str], body: list[list[str]]) -> str:
    """Return the text of a table."""
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
    rows = ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [head, *body]]  # fmt: skip
    return "\n".join([title, *rows, ""])
