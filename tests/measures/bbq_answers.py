"""Readouts in which it is known which answer was picked, for the tests of both BBQ measures."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

import torch

from evenhand.core.case import Case
from evenhand.core.readout import Readout
from oracles.bbq import Answered


def readout(answers: Sequence[Answered], kind: Literal["choice", "text"] = "choice") -> Readout:
    """Likeliest options, or single generated answers, that pick what `answers` say."""
    n = len(answers)
    cases = tuple(
        Case(str(i), "p", "here", cluster=str(i // 2), options=("x", "y", "z"), favourable=one.label,
             facts=(("condition", one.condition), ("polarity", one.polarity), ("target", str(one.target)),
                    ("unknown", str(one.unknown))))
        for i, one in enumerate(answers)
    )  # fmt: skip
    picked = torch.zeros(n, 3, dtype=torch.float64)
    for row, one in enumerate(answers):
        if one.pick is not None:
            picked[row, one.pick] = 1
    valid = picked.sum(1)
    arrays = {"picked": picked} if kind == "text" else {"logp": 5 * picked - 9, "tokens": torch.ones(n, 3)}
    return Readout(kind, cases, (), valid, valid, torch.arange(n), {"valid": valid, "other": 1 - valid},
                   valid > 0, arrays=arrays)  # fmt: skip


def drawn(seed: int, n: int = 60, invalid: bool = False) -> list[Answered]:
    """Random questions with random picks."""
    draw = random.Random(seed)
    found: list[Answered] = []
    for _ in range(n):
        unknown, target, other = draw.sample(range(3), 3)
        condition = draw.choice(("ambig", "disambig"))
        label = unknown if condition == "ambig" else draw.choice((target, other))
        pick = draw.choice((0, 1, 2, None) if invalid else (0, 1, 2))
        found.append(Answered(condition, draw.choice(("neg", "nonneg")), target, unknown, label, pick))
    return found


def all_follow(follow: bool) -> list[Answered]:
    """A question of every condition, polarity and place; all picks follow the stereotype, or all go against it."""
    found: list[Answered] = []
    for condition in ("ambig", "disambig"):
        for polarity in ("neg", "nonneg"):
            for target, other, unknown in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
                pick = target if (polarity == "neg") == follow else other
                label = unknown if condition == "ambig" else other
                found.append(Answered(condition, polarity, target, unknown, label, pick))
    return found
