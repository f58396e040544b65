"""The slow, obvious paired difference: each replicate draws its names once and works both models out from them."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from scipy import stats as scipy_stats

from evenhand.core.bootstrap import Bootstrap
from evenhand.core.readout import Readout
from oracles import written_out


def mean_absolute_gap(readout: Readout, drawn: Counter[str]) -> float:
    """Mean of |standardised mean difference| over variations, each name counted as often as it was drawn."""
    gaps: list[float] = []
    for variation in dict.fromkeys(case.variation for case in readout.cases):
        part = readout.where(lambda case, v=variation: case.variation == v)
        times = [drawn[case.cluster] for case in part.cases]
        gaps.append(abs(written_out.standardised_mean_difference(part, times)))
    return sum(gaps) / len(gaps)


def difference(first: Readout, second: Readout, bootstrap: Bootstrap) -> tuple[float, float, float]:
    """Value and interval of the difference of two mean absolute gaps, first − second; names are unique over groups."""
    once = Counter({case.cluster: 1 for case in first.cases})
    value = mean_absolute_gap(first, once) - mean_absolute_gap(second, once)
    place = {case.cluster: i for i, case in enumerate(first.cases)}
    found: list[float] = []
    for chunk in bootstrap.weights(first.cases):
        for row in chunk.tolist():
            drawn = Counter({name: int(row[i]) for name, i in place.items()})
            found.append(mean_absolute_gap(first, drawn) - mean_absolute_gap(second, drawn))
    replicates = sorted(each - sum(found) / len(found) + value for each in found)
    names = min(Counter(group for group, _ in {(case.group, case.cluster) for case in first.cases}).values())
    t = scipy_stats.t.ppf((1 - bootstrap.level) / 2, names - 1)
    tail = scipy_stats.norm.cdf(math.sqrt(names / (names - 1)) * t)
    low, high = np.quantile(replicates, [tail, 1 - tail])
    return value, float(low), float(high)
