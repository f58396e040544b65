"""The number that an edit's size is chosen by: the mean absolute standardised gap, or a goal; and what it damaged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from evenhand import find
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.errors import UsageError
from evenhand.core.estimate import Estimate
from evenhand.core.measuring import overall, point
from evenhand.core.readout import Readout
from evenhand.judge.facts import GAP
from evenhand.study.config import GoalConfig


def mean_gap(readouts: Sequence[Readout], bootstrap: Bootstrap, settings: dict[str, Any] | None = None) -> Estimate:
    """Return the mean |standardised mean difference| over contexts, variations and groups, with one joint interval.

    `settings` are those of the measure, so that a size is chosen by the very number that is reported.
    """
    return overall(find.build("measures", GAP, settings), readouts, bootstrap)


def goal_value(
    readouts: Sequence[Readout], goal: GoalConfig, bootstrap: Bootstrap, settings: dict[str, Any] | None = None
) -> Estimate:
    """Return the mean of the goal's measure over contexts and variations, with one joint interval.

    Raises UsageError for a key that the measure does not give.
    """
    try:
        return overall(find.build("measures", goal.measure, settings), readouts, bootstrap, goal.key)
    except KeyError as error:
        raise UsageError(f"goal: measure {goal.measure!r} gives no {goal.key!r}; see docs/measures.md") from error


def perplexity(readouts: Sequence[Readout]) -> float:
    """Return the perplexity over the texts among these readouts; NaN without a text."""
    for readout in readouts:
        if readout.kind == "sentence" and len(readout):
            return point(find.build("measures", "perplexity"), readout)["value"]
    return math.nan


def valid_share(readouts: Sequence[Readout]) -> float:
    """Return the mean share of valid answers over all cases; NaN without cases."""
    shares = [readout.shares["valid"].double() for readout in readouts if len(readout)]
    return float(torch.cat(shares).mean()) if shares else math.nan
