"""How much two sets of units have in common, and how much they would by chance; rank correlation of scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.component import Attribution, Selection
from evenhand.core.correlation import pearson
from evenhand.core.errors import UsageError

_SPREAD = 12
"""Numbers of shared units further from the expected one than so many standard deviations are left out of the mean."""


@dataclass(frozen=True, slots=True)
class Chance:
    """What two random sets of the same sizes would share."""

    jaccard: float
    """Expected Jaccard."""
    p: float
    """Probability that they share at least as many units as these do."""


def by_chance(space: int, a: int, b: int, both: int) -> Chance:
    """Return what two sets of `a` and `b` units, drawn uniformly from `space` units, share by chance.

    The number shared, x, is hypergeometric; Jaccard = x / (a + b − x) is averaged over it. NaN where a set is empty,
    because nothing can then be shared.
    """
    from scipy.stats import hypergeom

    if not (0 <= a <= space and 0 <= b <= space):
        raise UsageError(f"sets of {a} and {b} units do not fit into a space of {space}")
    if not a or not b:
        return Chance(math.nan, math.nan)
    law: Any = hypergeom(space, a, b)
    mean = a * b / space
    reach = 1 + _SPREAD * math.sqrt(mean * (1 - a / space) * (space - b) / max(1, space - 1))
    low, high = max(0, a + b - space, math.floor(mean - reach)), min(a, b, math.ceil(mean + reach))
    shared = torch.arange(low, high + 1, dtype=torch.float64)
    chance = torch.as_tensor(law.pmf(shared.numpy()), dtype=torch.float64)
    return Chance(float((chance * shared / (a + b - shared)).sum()), float(law.sf(both - 1)))


def compared(a: Selection, b: Selection) -> tuple[int, float, Chance]:
    """Return how many units two selections of one layout share, their Jaccard, and what chance gives."""
    both = len(a & b)
    return both, a.jaccard(b), by_chance(a.layout.size, len(a), len(b), both)


def rank_correlation(a: Attribution, b: Attribution) -> float:
    """Return Spearman's correlation of two scorings of the same units; ties share their mean rank.

    Units that either leaves undefined are left out. NaN where fewer than two are left, or where a scoring is constant.
    """
    if a.layout != b.layout:
        raise UsageError("scores of different models or spaces cannot be compared")
    known = ~(a.scores.isnan() | b.scores.isnan())
    x, y = (_ranks(each.scores[known]) for each in (a, b))
    sums = torch.stack([torch.ones_like(x), x, y, x * x, y * y, x * y], dim=1).sum(0)
    return float(pearson(sums))


def _ranks(scores: Float[Tensor, " unit"]) -> Float[Tensor, " unit"]:
    """Ranks from −½ to ½, so that sums of their squares keep their digits in a space of millions."""
    from scipy import stats

    placed: Any = stats.rankdata(scores.double().numpy())
    ranks = torch.as_tensor(placed, dtype=torch.float64)
    return (ranks - (len(ranks) + 1) / 2) / max(1, len(ranks))
