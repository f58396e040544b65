"""What units do on neutral text, and why one counts as general: needed by every text, not by a bias."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Beyond what a unit counts as general."""

    damage: float
    """KL per token of neutral text (nats) when it is switched off alone: a high quantile of random units'."""
    least: float
    """KL per token (nats) at or below which no unit is general by damage, however little random units do."""
    sinks: float
    """Share of its |activation| on first tokens and delimiters together."""
    massive: float
    """Its largest |activation| over that of the median random unit."""


@dataclass(frozen=True, slots=True)
class Generality:
    """One unit on neutral text; `reasons` is empty for a unit that is not general."""

    unit: int
    """Address in its layout."""
    place: str
    """Where that is, in words."""
    divergence: float
    """KL(model as it stands ‖ without the unit) per token, nats; NaN where the model predicts nothing without it."""
    loss: float
    """Rise of the loss without the unit, nats per token."""
    first: float
    """Share of its |activation| on the first token of a text; NaN where it is silent."""
    delimiters: float
    """Share on later tokens without a letter or digit and on special tokens; NaN where it is silent."""
    largest: float
    """Its largest |activation| over that of the median random unit."""
    reasons: tuple[str, ...] = ()

    def judged(self, limits: Limits) -> tuple[str, ...]:
        """Return the reasons for which it counts as general.

        Damage that is not finite is above every limit; a share or an activation that is undefined is no reason.
        """
        found: list[str] = []
        if not math.isfinite(self.divergence):
            found.append("without it what the model predicts in neutral text is undefined (numbers overflow)")
        elif self.divergence > limits.damage and self.divergence > limits.least:
            found.append(
                f"neutral text moves by {self.divergence:.2g} nats per token without it, above {limits.least:.2g} and "
                f"the {limits.damage:.2g} of random units"
            )
        if self.first + self.delimiters > limits.sinks:
            found.append(
                f"{self.first:.0%} of its activation is on the first token and {self.delimiters:.0%} on delimiters"
            )
        if self.largest > limits.massive:
            found.append(f"its largest activation is {self.largest:.0f} times that of the median random unit")
        return tuple(found)

    def __str__(self) -> str:
        """Return the unit and its reasons."""
        return f"{self.place} ({'; '.join(self.reasons) or 'not general'})"
