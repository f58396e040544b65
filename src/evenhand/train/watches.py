"""Guards of a training: watches look at the model while it is trained, limits read the log; either may stop it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from evenhand.core.errors import UsageError
from evenhand.lm.model import LM
from evenhand.lm.scoring.texts import perplexity
from evenhand.train.contracts import Entry, Seen


@dataclass
class PerplexityBudget:
    """Stops where the perplexity on texts to retain has risen by more than a share of what it was.

    Perplexity is exp(−mean log-likelihood per token) as `score_texts` scores whole texts; of masked models the
    pseudo-perplexity. `rise` 0.05 allows 5 per cent.
    """

    texts: tuple[str, ...]
    rise: float = 0.05
    every: int = 10
    base: float = field(default=math.nan, init=False)
    """Before training."""

    def look(self, lm: LM, step: int) -> Seen:
        """Score the texts."""
        now = perplexity(lm, self.texts, _unreported)
        self.base = now if step == 0 else self.base
        rise = now / self.base - 1
        numbers = {"retain perplexity": now, "retain perplexity rise": rise}
        if rise <= self.rise:
            return Seen(True, numbers=numbers)
        return Seen(
            False,
            f"perplexity on the texts to retain is {now:.4g}, {100 * rise:.3g} % above the {self.base:.4g} it was; at "
            f"most {100 * self.rise:.3g} % are allowed",
            numbers,
        )

    def digest(self) -> str:
        """Return a digest of texts and settings."""
        return _digest(self.texts, self.rise, self.every)


@dataclass
class PolarityFlip:
    """Stops where a gap crosses 0: the bias is turned round, not removed. Training goes back to the smallest |gap|.

    `gap` measures the model as it stands, in any unit; its sign before training counts. `name` is what it measures, in
    plain words, and must say what `gap` depends on.
    """

    gap: Callable[[LM], float]
    name: str = "gap"
    every: int = 10
    base: float = field(default=math.nan, init=False)
    """Before training."""

    def look(self, lm: LM, step: int) -> Seen:
        """Measure the gap."""
        now = float(self.gap(lm))
        self.base = now if step == 0 else self.base
        numbers = {self.name: now}
        if math.isnan(now):
            return Seen(False, f"{self.name} is undefined (NaN)", numbers)
        if now * self.base < 0:
            return Seen(False, f"{self.name} was {self.base:.3g} and is {now:.3g}: it has crossed 0", numbers, abs(now))
        return Seen(True, numbers=numbers, score=abs(now))

    def digest(self) -> str:
        """Return a digest of its settings."""
        return _digest(self.name, self.every)


@dataclass(frozen=True)
class LossFloor:
    """Stops where a term falls below a floor: gradient ascent never ends by itself, its loss has no minimum."""

    term: str
    least: float

    def reached(self, log: list[Entry]) -> str:
        """Look at the last line; raises UsageError where the objective has no such term."""
        terms = log[-1].terms
        if self.term not in terms:
            raise UsageError(f"the objective has no term {self.term!r} to set a floor for; it has {', '.join(terms)}")
        now = terms[self.term]
        return f"{self.term} is {now:.4g}, below its floor of {self.least:g}" if now < self.least else ""

    def digest(self) -> str:
        """Return a digest of its settings."""
        return _digest(self.term, self.least)


@dataclass(frozen=True)
class GradientNorm:
    """Stops where the norm of the gradient, before clipping, is above `most`."""

    most: float

    def reached(self, log: list[Entry]) -> str:
        """Look at the last line."""
        norm = log[-1].norm
        too_large = norm > self.most
        return f"the norm of the gradient is {norm:.4g}, above {self.most:g}{_smaller(log)}" if too_large else ""

    def digest(self) -> str:
        """Return a digest of its settings."""
        return _digest(self.most)


@dataclass(frozen=True)
class Divergence:
    """Stops where the mean loss of the last `over` batches is more than `rise` above what it was before training.

    Batches differ, so it is the model before training that is asked about the same batches, where the log gives reason
    to. A step that is a third of the way there is not rolled back to. Every training has this guard with its defaults
    unless it brings its own; a `rise` of infinity is none.
    """

    rise: float = 1.0
    over: int = 5

    def suspects(self, log: list[Entry]) -> bool:
        """Whether the last losses are high beside the first one."""
        return _mean([entry.total for entry in log[-self.over :]]) > log[0].total + self.rise / 3

    def verdict(self, log: list[Entry], before: list[float]) -> tuple[str, bool]:
        """Return why training must stop, or nothing, and whether the values are in doubt.

        `before` are the losses of the untrained model on the batches of the last lines.
        """
        then, now = _mean(before), _mean([entry.total for entry in log[-len(before) :]])
        many = "batch" if len(before) == 1 else f"{len(before)} batches"
        why = f"the loss on the last {many} was {then:.4g} before training and is {now:.4g}: it diverges{_smaller(log)}"
        return why if now > then + self.rise else "", now > then + self.rise / 3

    def digest(self) -> str:
        """Return a digest of its settings."""
        return _digest(self.rise, self.over)


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


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _unreported(label: str, done: int, total: int) -> None:
    """Progress of a look is none of the training's."""
