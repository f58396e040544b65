"""The number that an edit's size is chosen by: the mean absolute standardised gap, and what the edit damaged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand import find
from evenhand.core.bootstrap import Bootstrap, interval, smallest_stratum
from evenhand.core.case import Case
from evenhand.core.estimate import Estimate
from evenhand.core.measure import Measure, point, recentred
from evenhand.core.readout import Readout

GAP = "standardised_mean_difference"


def mean_gap(readouts: Sequence[Readout], bootstrap: Bootstrap, settings: dict[str, Any] | None = None) -> Estimate:
    """Return the mean |standardised mean difference| over contexts, variations and groups, with one joint interval.

    `settings` are those of the measure, so that a size is chosen by the very number that is reported.
    One draw of names weighs every context alike. Variations without a defined gap are left out; NaN when all are.
    """
    smd: Measure = find.build("measures", GAP, settings)
    cases = [case for readout in readouts for case in readout.cases]
    drawn = [_replicates(smd, pair, cases, bootstrap) for readout in readouts for pair in _pairs(readout)
             if readout.kind in smd.kinds]  # fmt: skip
    known = [values.abs() for values in drawn if not math.isnan(float(values[0]))]
    empty = Estimate(value=math.nan, n=len(cases), unit=smd.unit, level=bootstrap.level)
    if not known:
        return empty
    mean = recentred(torch.stack(known).mean(0))
    low, high = interval(mean[1:], smallest_stratum(cases), bootstrap.level)
    names = len({(case.group, case.cluster) for case in cases})
    return empty.model_copy(update={"value": float(mean[0]), "low": low, "high": high, "n_clusters": names})


def _pairs(readout: Readout) -> Iterator[Readout]:
    """Yield each variation of each context, with the reference and one other group."""
    for context, variation in dict.fromkeys((case.context, case.variation) for case in readout.cases):
        here = readout.where(lambda case, at=(context, variation): (case.context, case.variation) == at)
        for other in readout.groups[1:]:
            yield here.between(readout.groups[0], other)


def _replicates(
    smd: Measure, readout: Readout, among: Sequence[Case], bootstrap: Bootstrap
) -> Float[Tensor, " point_and_boot"]:
    """The gap as it is, then in every replicate; names are drawn from `among`."""
    stats = smd.per_case(readout).double()
    present = ~stats.isnan().any(dim=1)
    stats = stats.masked_fill(~present[:, None], 0.0)
    ones = torch.ones(1, len(readout), dtype=torch.float64)
    weights = [ones, *bootstrap.weights(readout.cases, among)]
    return torch.cat([smd.combine(stats, each * present)["value"] for each in weights])


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
