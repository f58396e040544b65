"""The parts of long work, kept one by one in `LM.workplace`: what was killed goes on with the part it was at."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TypeVar

from evenhand.core.record import digest_of
from evenhand.lm.model import LM
from evenhand.study.store import write

T = TypeVar("T")
Ended = Callable[[int, int, bool], None]
"""Called as `ended(place, total, fresh)` after each part; `fresh`: it was computed now."""


def unheard(place: int, total: int, fresh: bool) -> None:
    """Tell nobody that a part has ended."""


class Parts:
    """Parts of one piece of work; without a workplace nothing is kept.

    `about` is all that the parts depend on: a part that was kept of anything else is not taken.
    """

    def __init__(self, lm: LM, about: object, total: int, ended: Ended = unheard) -> None:
        self._lm, self._about, self._total, self._ended = lm, about, total, ended
        self._place = 0
        self.before = 0.0
        """Seconds that earlier runs took for parts that were kept."""

    def of(self, name: str, make: Callable[[], T]) -> T:
        """Return what was kept of a part, or make it (a value that JSON can hold) and keep it.

        A file that is damaged is announced, and its part made again. Raises CannotRun where it cannot be kept.
        """
        folder = self._lm.workplace
        path = folder / f"{digest_of([self._about, name])}.json" if folder else None
        kept = None
        try:
            kept = json.loads(path.read_bytes()) if path else None
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            self._lm.notify(f"{path}: damaged ({error}); computed again")
        self._place += 1
        if kept is not None:
            self.before += kept["seconds"]
            self._ended(self._place, self._total, False)
            return kept["value"]
        began = time.monotonic()
        made = make()
        if path:
            write(path, json.dumps({"seconds": time.monotonic() - began, "value": made}).encode())
        self._ended(self._place, self._total, True)
        return made
