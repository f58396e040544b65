"""The gaps of a planted model read as any model is read: exact search over all numbers, not only those of its world."""

from __future__ import annotations

import torch

from evenhand.core.readout import Readout
from evenhand.core.scenario import Scenario
from evenhand.lm.model import LM
from evenhand.lm.read import Reading, read
from evenhand.measures.standardised_mean_difference import StandardisedMeanDifference
from evenhand.planted.gaps import Table


def exact_gaps(lm: LM, scenario: Scenario, reading: Reading = Reading(numeric="exact")) -> Table:
    """Return context → variation → gap: (mean of the reference - mean of the other) / standard deviation.

    NaN where exact search left too much open for a mean.
    """
    table: Table = {context.name: {} for context in scenario.contexts}
    for readout in read(lm, scenario, reading):
        for context, variation in dict.fromkeys((case.context, case.variation) for case in readout.cases):
            part = _only(readout, context, variation)
            table[context][variation] = _standardised(part)
    return table


def _only(readout: Readout, context: str, variation: str) -> Readout:
    return readout.where(lambda case: case.context == context and case.variation == variation)


def _standardised(readout: Readout) -> float:
    if not bool(readout.defined.all()):
        return float("nan")
    measure = StandardisedMeanDifference()
    stats = measure.per_case(readout)
    return float(measure.combine(stats, torch.ones(1, len(stats), dtype=torch.float64))["value"][0])
