"""Guards of a training: what is looked at while it runs, and when it must stop."""

from __future__ import annotations

import math
from dataclasses import dataclass

from evenhand.train.contracts import Entry


@dataclass(frozen=True)
class NotFinite:
    """Stops where the loss or its gradient is no number; every training has this guard."""

    def reached(self, log: list[Entry]) -> str:
        """Look at the last line."""
        last = log[-1]
        if not math.isfinite(last.total):
            return f"the loss is {last.total}{_smaller(log)}"
        learning = not math.isnan(last.lr)
        return f"the gradient is {last.norm}{_smaller(log)}" if learning and not math.isfinite(last.norm) else ""


def _smaller(log: list[Entry]) -> str:
    highest = max((entry.lr for entry in log if not math.isnan(entry.lr)), default=math.nan)
    return f"; the learning rate went up to {highest:g}: try a tenth of it" if highest > 0 else ""
