"""Means of several series of prompts, with intervals: prompts of one text are drawn together, inside their series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from evenhand.core.bootstrap import Bootstrap, interval, p_value
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
    bootstrap: Bootstrap,
) -> list[Mean]:  # fmt: skip
    """Return the mean of each of the chosen parts of the cases; all share their draws, so they can be compared."""
    values, parts = values.double(), torch.stack([each.double() for each in kept])
    one = (parts @ values) / parts.sum(1, keepdim=True)
    drawn: list[Tensor] = []
    for weights in bootstrap.weights(cases):
        here = weights[:, None] * parts  # [boot, part, case]
        drawn.append((here @ values) / here.sum(2, keepdim=True))
    replicates = torch.cat(drawn)
    found: list[Mean] = []
    for i, part in enumerate(kept):
        clusters = {case.cluster for case, weight in zip(cases, part, strict=True) if weight}
        found.append(Mean(one[i], replicates[:, i], int(part.sum()), len(clusters)))
    return found
