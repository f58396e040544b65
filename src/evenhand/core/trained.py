"""What is kept of a training: every term by itself, what the guards saw, why it ended, where its edits were taken."""

from __future__ import annotations

from dataclasses import dataclass

from evenhand.core.estimate import Number
from evenhand.core.frozen import Record


class TrainingStep(Record):
    """After `step` steps, on the next batch: each term, and their weighted sum, which is minimised."""

    step: int
    terms: dict[str, Number]
    total: Number
    norm: Number
    """Of the gradient before clipping; NaN after the last step."""
    lr: Number
    """Learning rate of the step that follows; NaN after the last."""


class TrainingLook(Record):
    """What one guard saw after `step` steps; `reason` says in plain words why it objected, where it did."""

    step: int
    ok: bool
    reason: str = ""
    numbers: dict[str, Number]


class TrainingRecord(Record):
    """One training from its first step to its end."""

    steps: int
    """How many were asked for."""
    stopped: str = ""
    """Why it ended before the last of them, in plain words; empty where it did not."""
    last_good: int
    """The last step that no guard objected to."""
    best: int
    """The step that a stopped training was rolled back to; `last_good` where it was not stopped."""
    log: tuple[TrainingStep, ...]
    looks: tuple[TrainingLook, ...] = ()


@dataclass(frozen=True)
class Trained:
    """The training that an edit comes from, and after how many steps of it the edit was really taken."""

    reached: int
    training: TrainingRecord
