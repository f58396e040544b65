"""The number that an edit's size is chosen by: the mean absolute standardised gap, and what the edit damaged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from evenhand import find
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.estimate import Estimate
from evenhand.core.measure import overall, point
from evenhand.core.readout import Readout
from evenhand.judge.facts import GAP


def mean_gap(readouts: Sequence[Readout], bootstrap: Bootstrap, settings: dict[str, Any] | None = None) -> Estimate:
    """Return the mean |standardised mean difference| over contexts, variations and groups, with one joint interval.

    `settings` are those of the measure, so that a size is chosen by the very number that is reported.
    """
    return overall(find.build("measures", GAP, settings), readouts, bootstrap)


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
