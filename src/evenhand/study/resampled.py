"""Means of several series of prompts, with intervals: prompts of one text are drawn together, inside their series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from evenhand.core.bootstrap import FEWEST, Bootstrap, interval, p_value
from evenhand.core.case import Case
from evenhand.core.estimate import Estimate


@dataclass(frozen=True, eq=False)
class Mean:
    """The mean of some prompts in every column, its replicates, and how many independent texts it rests on."""

    value: Float[Tensor, " column"]
    replicates: Float[Tensor, "boot column"]
    n: int
    clusters: int

    def __sub__(self, other: Mean) -> Mean:
        """Return the difference; its replicates are of the same draws."""
        fewest = min(self.clusters, other.clusters)
        return Mean(self.value - other.value, self.replicates - other.replicates, self.n + other.n, fewest)

    def __truediv__(self, other: Mean) -> Mean:
        """Return the ratio."""
        fewest = min(self.clusters, other.clusters)
        return Mean(self.value / other.value, self.replicates / other.replicates, self.n, fewest)

    def estimates(self, level: float, unit: str = "", neutral: float = 0.0) -> list[Estimate]:
        """Return one estimate per column, its p against `neutral`."""
        found: list[Estimate] = []
        for value, drawn in zip(self.value, self.replicates.T, strict=True):
            low, high = interval(drawn, self.clusters, level)
            found.append(Estimate(value=float(value), low=low, high=high, n=self.n, n_clusters=self.clusters,
                                  unit=unit, level=level, p=p_value(drawn, neutral, self.clusters)))  # fmt: skip
        return found


def means(
    values: Float[Tensor, "case column"], cases: Sequence[Case], kept: Sequence[Bool[Tensor, " case"]],
    bootstrap: Bootstrap, crossed: Sequence[Case] | None = None,
) -> list[Mean]:  # fmt: skip
    """Return the mean of each of the chosen parts of the cases; all share their draws, so they can be compared.

    `crossed` are the same cases with other clusters, such as their words beside their sentences: both are drawn, apart
    from each other (Owen and Eckles, 2012: rather too wide than too narrow), where there are enough of them.
    """
    values, parts = values.double(), torch.stack([each.double() for each in kept])
    one = (parts @ values) / parts.sum(1, keepdim=True)
    weights, few = bootstrap.weights(cases), {case.cluster for case in crossed or ()}
    if crossed is not None and len(few) >= FEWEST:
        again = replace(bootstrap, seed=bootstrap.seed + 1).weights(crossed)
        weights = (first * second for first, second in zip(_all(weights), _all(again), strict=True))
    drawn: list[Tensor] = []
    for each in weights:
        here = each.reshape(-1, len(cases))[:, None] * parts  # [boot, part, case]
        drawn.append((here @ values) / here.sum(2, keepdim=True))
    replicates = torch.cat(drawn)
    found: list[Mean] = []
    for i, part in enumerate(kept):
        clusters = {case.cluster for case, weight in zip(cases, part, strict=True) if weight}
        count = min(len(clusters), len(few)) if len(few) >= FEWEST else len(clusters)
        found.append(Mean(one[i], replicates[:, i], int(part.sum()), count))
    return found


def _all(weights: Iterable[Float[Tensor, "boot case"]]) -> Iterator[Float[Tensor, " case"]]:
    """Weights one by one, whatever the chunks."""
    for chunk in weights:
        yield from chunk
