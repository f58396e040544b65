"""Options of two genders set against each other: how likely each side is as a whole."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from evenhand.core.declared import Facts
from evenhand.core.errors import UsageError
from evenhand.core.readout import Readout

FEMALE, MALE, NEITHER = "f", "m", "-"
LEANINGS = ("female", "male", "neither", "baseline")
"""What a case is about: a word with this stereotype, or no word at all (the neutral prompt of its frame)."""
SIDES: Facts = {"sides": ("fm-", "mf-")}
"""Fact `sides`: one letter per option, f, m or - (neither)."""
WORDS: Facts = {**SIDES, "leaning": LEANINGS}


def log_sides(readout: Readout) -> Float[Tensor, "case 2"]:
    """Return log Σ of the probabilities (nats) of the female and of the male options; NaN where either is undefined.

    Raises UsageError where the fact `sides` has not one letter per option.
    """
    logp = readout.arrays["logp"].double()
    logp = torch.where(logp.isnan(), -math.inf, logp)
    sides = [torch.where(on_side(readout, letter), logp, -math.inf).logsumexp(dim=1) for letter in (FEMALE, MALE)]
    found = torch.stack(sides, dim=1)
    undefined = ~readout.defined | ~found.isfinite().all(dim=1)
    return found.masked_fill(undefined[:, None], torch.nan)


def gaps(readout: Readout) -> Float[Tensor, " case"]:
    """Return log P(female) − log P(male) of each case, nats; positive: female is likelier."""
    female, male = log_sides(readout).unbind(1)
    return female - male


def leaning(readout: Readout, name: str) -> Bool[Tensor, " case"]:
    """Return which cases have this leaning, one of LEANINGS."""
    return torch.tensor([case.fact("leaning") == name for case in readout.cases], dtype=torch.bool)


def from_baseline(readout: Readout, gap: Float[Tensor, " case"]) -> Float[Tensor, " case"]:
    """Return each gap less the mean gap of the neutral prompts of its context and variation; NaN where none is known.

    The neutral prompts are part of the way of asking, not of the sample of words: they are not resampled.
    """
    known: dict[tuple[str, str], list[float]] = {}
    for case, value in zip(readout.cases, map(float, gap), strict=True):
        if case.fact("leaning") == "baseline" and not math.isnan(value):
            known.setdefault((case.context, case.variation), []).append(value)
    bases = {place: math.fsum(values) / len(values) for place, values in known.items()}
    neutral = [bases.get((case.context, case.variation), math.nan) for case in readout.cases]
    return gap - torch.tensor(neutral, dtype=torch.float64)


def on_side(readout: Readout, letter: str) -> Bool[Tensor, "case opt"]:
    """Return whether each option is on a side (FEMALE, MALE, NEITHER); without the fact `sides` none is.

    Raises UsageError where the fact has not one letter per option.
    """
    rows = torch.zeros(readout.arrays["logp"].shape, dtype=torch.bool)
    for row, case in enumerate(readout.cases):
        sides = case.fact("sides")
        if sides and (len(sides) != len(case.options) or set(sides) - {FEMALE, MALE, NEITHER}):
            raise UsageError(
                f"case {case.id!r}: the fact 'sides' is {sides!r}; it needs one letter for each of the "
                f"{len(case.options)} options: {FEMALE}, {MALE} or {NEITHER}"
            )
        rows[row, : len(sides)] = torch.tensor([side == letter for side in sides], dtype=torch.bool)
    return rows
