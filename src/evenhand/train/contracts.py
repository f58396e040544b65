"""What a training is made of: a recipe, an objective, watches and limits; and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from evenhand.core.errors import UsageError
from evenhand.core.trained import Trained, TrainingLook, TrainingRecord, TrainingStep

if TYPE_CHECKING:
    from evenhand.lm.model import LM

Schedule = Literal["cosine", "constant", "linear"]
Values = dict[str, Tensor]
"""Values of trained parameters by name, on the CPU, in the model's number format."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How long and how fast, by AdamW (betas 0.9 and 0.999, epsilon 1e-8).

    The learning rate rises over the first `warmup` steps and then follows the schedule to 0, or stays (`constant`,
    whose first steps do not depend on how many follow). A step takes `accumulate` batches of `batch_size`. `clip`
    is the largest norm of the gradient of all parameters together. With `dropout` the model is in training mode
    while it learns.
    """

    steps: int = 100
    lr: float = 2e-4
    batch_size: int = 4
    accumulate: int = 1
    schedule: Schedule = "cosine"
    warmup: int = 0
    weight_decay: float = 0.01
    clip: float = 1.0
    seed: int = 0
    dropout: bool = True

    def __post_init__(self) -> None:
        wrong = [
            f"{name} {value:g} (expected {wanted})"
            for name, value, good, wanted in (
                ("steps", self.steps, self.steps >= 0, "0 or more"),
                ("lr", self.lr, self.lr > 0, "above 0"),
                ("batch_size", self.batch_size, self.batch_size > 0, "1 or more"),
                ("accumulate", self.accumulate, self.accumulate > 0, "1 or more"),
                ("warmup", self.warmup, self.warmup >= 0, "0 steps or more"),
                ("weight_decay", self.weight_decay, self.weight_decay >= 0, "0 or more"),
                ("clip", self.clip, self.clip > 0, "above 0"),
            )
            if not good
        ]
        if wrong:
            raise UsageError(f"this recipe cannot be trained: {', '.join(wrong)}")


class Objective(Protocol):
    """What is minimised."""

    def terms(self, lm: LM, step: int, generator: torch.Generator) -> dict[str, tuple[float, Tensor]]:
        """Return name → (weight, scalar with its graph); the loss is the sum of weight × term.

        `step` counts batches from 0: with accumulation an optimiser step takes several (`drawn` deals the items of a
        batch). `generator`, on the CPU, is for anything else that is random; it depends on seed and `step` alone, so
        that a restart draws the same. Also called without gradients, at the end.
        """
        ...

    def digest(self) -> str:
        """Return a digest of everything it depends on: texts, weights of the terms, references."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """What a watch saw: whether training may go on, why not in plain words, and its numbers.

    `score`, smaller is better, marks the best step where it is no NaN. Where the watch that objects gives one, training
    is rolled back to the step with the smallest; otherwise to the last that none objected to.
    """

    ok: bool
    reason: str = ""
    numbers: dict[str, float] = field(default_factory=dict[str, float])
    score: float = float("nan")


@runtime_checkable
class Watch(Protocol):
    """Looks at the model, in evaluation mode, while it trains.

    Before the first step (step 0, also when a killed training goes on: there it takes what it compares with), then
    every `every` steps, whenever another watch looks, at the steps to keep, and at the end: what is rolled back to has
    been seen by all. One with a `digest()` of its settings is known by it when a killed training goes on; limits too.
    """

    @property
    def every(self) -> int:
        """Steps between two looks."""
        ...

    def look(self, lm: LM, step: int) -> Seen:
        """Return what it sees after `step` steps; must leave the model as it is."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the log: after `step` steps, the terms and their weighted sum on the next batch.

    `norm` is the norm of the gradient before clipping and `lr` the learning rate of the update that follows; the last
    line, after the last step, has neither (NaN).
    """

    step: int
    terms: dict[str, float]
    total: float
    norm: float
    lr: float


@runtime_checkable
class Limit(Protocol):
    """Reads the log while it is written."""

    def reached(self, log: list[Entry]) -> str:
        """Return why training must stop after the last line, in plain words, or nothing."""
        ...


@dataclass(frozen=True, eq=False)
class Training:
    """What a training came to."""

    asked: int
    """Steps of the recipe."""
    log: tuple[Entry, ...]
    """One line per step and one for the end."""
    seen: tuple[tuple[int, Seen], ...]
    """What the watches saw, with the step."""
    stopped: str
    """Why it stopped before its last step, in plain words; empty where it did not."""
    last_good: int
    """The last step that no guard objected to."""
    best: int
    """The step that a stopped training was rolled back to: by the scores of the watch that objected the best step, and
    without scores the last good one. The losses of two steps say nothing of which is better: their batches differ. The
    last step of a training that was not stopped."""
    kept: Mapping[int, Values]

    def reached(self, step: int) -> int:
        """Return the step that stands for `step`: itself while no guard had objected, then `best`."""
        return step if step <= self.last_good else self.best

    def trained(self, step: int) -> Trained:
        """Return what an edit made of `at(step)` says of its training."""
        log = tuple(TrainingStep(**asdict(entry)) for entry in self.log)
        looks = tuple(TrainingLook(step=at, ok=seen.ok, reason=seen.reason, numbers=seen.numbers)
                      for at, seen in self.seen)  # fmt: skip
        record = TrainingRecord(steps=self.asked, stopped=self.stopped, last_good=self.last_good, best=self.best,
                                log=log, looks=looks)  # fmt: skip
        return Trained(self.reached(step), record)

    @property
    def told(self) -> str:
        """Why it was stopped, for whoever trains to tell; empty where it was not."""
        if not self.stopped:
            return ""
        return f"training {self.stopped}" if self.best else f"nothing was trained: {self.stopped}"

    def at(self, step: int) -> Values:
        """Return the values after `step` steps, or after a stop those of the step that stands for it.

        Raises UsageError for a step that was not kept. 0, the last step and `best` always are.
        """
        step = self.reached(step)
        if step not in self.kept:
            known = ", ".join(str(each) for each in sorted(self.kept))
            raise UsageError(f"the values after {step} steps were not kept (kept: {known}); name the step in `keep`")
        return self.kept[step]
