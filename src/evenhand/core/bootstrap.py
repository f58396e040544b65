"""The one cluster bootstrap: integer weights per cluster, drawn within strata, shared by every measure.

Weights of ones give the point estimate; a paired difference reuses the same weights for both models.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from scipy import stats as scipy_stats
from torch import Tensor

from evenhand.core.case import Case
from evenhand.core.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How intervals are made: number of replicates, confidence level, seed, and memory per chunk (replicates)."""

    replicates: int = 1000
    level: float = 0.95
    seed: int = 0
    chunk: int = 250

    def weights(self, cases: Sequence[Case]) -> Iterator[Float[Tensor, "boot case"]]:
        """Yield float64 weights in chunks of replicates; clusters are resampled inside their group.

        The same (group, cluster) has the same weight in every case, and the same seed gives the same weights.
        """
        keys = sorted({(case.group, case.cluster) for case in cases})
        place = {key: i for i, key in enumerate(keys)}
        column = torch.tensor([place[case.group, case.cluster] for case in cases], dtype=torch.long)
        strata = _strata([group for group, _ in keys])
        generator = torch.Generator().manual_seed(self.seed)
        for start in range(0, self.replicates, self.chunk):
            n = min(self.chunk, self.replicates - start)
            drawn = torch.zeros(n, len(keys), dtype=torch.float64)
            for low, high in strata:
                picks = torch.randint(low, high, (n, high - low), generator=generator)
                drawn.scatter_add_(1, picks, torch.ones_like(picks, dtype=torch.float64))
            yield drawn[:, column]


def _strata(groups: Sequence[str]) -> list[tuple[int, int]]:
    """Return the [low, high) ranges of equal neighbours."""
    edges = [0, *(i for i in range(1, len(groups)) if groups[i] != groups[i - 1]), len(groups)]
    return [(low, high) for low, high in pairwise(edges) if high > low]


def smallest_stratum(cases: Sequence[Case]) -> int:
    """Return the number of clusters of the group that has fewest."""
    clusters: dict[str, set[str]] = {}
    for case in cases:
        clusters.setdefault(case.group, set()).add(case.cluster)
    return min((len(names) for names in clusters.values()), default=0)


def interval(replicates: Float[Tensor, " boot"], n_clusters: int, level: float) -> tuple[float, float]:
    """Return the expanded percentile interval: quantiles widened for few clusters.

    Hesterberg (2015, *What Teachers Should Know About the Bootstrap*, section 5.3): the plain percentile interval is
    too narrow by sqrt((n-1)/n) and uses normal instead of t quantiles. `n_clusters` is the size of the smallest
    stratum. NaN below two clusters or when more than 5 % of the replicates are undefined.
    """
    finite = replicates[~replicates.isnan()].double()
    if n_clusters < 2 or len(finite) < 0.95 * len(replicates) or not len(finite):
        return math.nan, math.nan
    t = float(scipy_stats.t.ppf((1 - level) / 2, n_clusters - 1))
    tail = float(scipy_stats.norm.cdf(math.sqrt(n_clusters / (n_clusters - 1)) * t))
    ends = torch.quantile(finite, torch.tensor([tail, 1 - tail], dtype=torch.float64))
    return float(ends[0]), float(ends[1])


def p_value(replicates: Float[Tensor, " boot"], neutral: float) -> float:
    """Return the two-sided p-value that the replicates lie around `neutral`; NaN where undefined.

    Twice the smaller tail, with one added to count and total, so it is never 0.
    """
    finite = replicates[~replicates.isnan()]
    if len(finite) < 0.95 * len(replicates) or not len(finite):
        return math.nan
    below, above = int((finite <= neutral).sum()), int((finite >= neutral).sum())
    return min(1.0, 2 * (1 + min(below, above)) / (1 + len(finite)))


def benjamini_hochberg(estimates: Sequence[Estimate]) -> list[Estimate]:
    """Return the estimates with `q`, the false-discovery-adjusted p, over those whose p is defined."""
    known = [e.p for e in estimates if not math.isnan(e.p)]
    adjusted = iter(scipy_stats.false_discovery_control(known) if known else ())
    return [e if math.isnan(e.p) else e.model_copy(update={"q": float(next(adjusted))}) for e in estimates]
