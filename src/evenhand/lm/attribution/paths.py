"""The straight line along which integrated gradients are taken: its places, its nodes and where it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.component import Layout
from evenhand.lm.attribution.rows import Row
from evenhand.lm.attribution.trace import trace
from evenhand.lm.model import LM

Rule = Literal["gauss", "riemann"]
Where = Literal["last", "all"]
Outcome = Literal["log", "probability"]
Baseline = Mapping[str, Float[Tensor, " in"]]
"""By the path of a writer, where its input starts from."""


@dataclass(frozen=True, eq=False)
class Path:
    """A straight line from a baseline to a layer's input as it is, and how the integral along it is taken.

    `gauss` is Gauss–Legendre with `steps` nodes; `riemann` the left sum as published, α = k / steps for k = 0 …
    steps − 1. `last` runs where targets are predicted (in an encoder beside a decoder, which predicts nothing,
    everywhere), `all` everywhere. The outcome is the sum of weighted log-probabilities of a case's targets, or, as
    `probability`, its exponential. A writer without baseline starts from zero.
    """

    rule: Rule = "gauss"
    steps: int = 8
    tokens: Where = "last"
    outcome: Outcome = "log"
    baseline: Baseline = field(default_factory=dict[str, Tensor])

    def nodes(self) -> tuple[Float[Tensor, " node"], Float[Tensor, " node"]]:
        """Return every α and its weight (float64); the first is the baseline itself, of weight 0 where no node is."""
        if self.rule == "riemann":
            return torch.arange(self.steps).double() / self.steps, torch.full((self.steps,), 1.0 / self.steps).double()
        at, weight = (torch.from_numpy(x) for x in np.polynomial.legendre.leggauss(self.steps))
        start = torch.zeros(1, dtype=torch.float64)
        return torch.cat([start, (1 + at) / 2]), torch.cat([start, weight / 2])

    def places(self, row: Row, stack: str) -> Sequence[int]:
        """Return the positions of a row, as `stack` sees it, where the path runs."""
        if self.tokens == "all" or (row.decoder and stack == "encoder"):
            return row.places(stack, "all")
        return sorted({target.position for target in row.targets})


def mean_inputs(lm: LM, rows: Sequence[Row], layout: Layout, path: Path) -> dict[str, Float[Tensor, " in"]]:
    """Return the mean input of every writer over the places of a path in all rows, float32: a baseline."""
    sums: dict[str, Tensor] = {}
    count = dict.fromkeys((site.path for site in layout.sites), 0)
    for batch in trace(lm, rows, layout):
        for site in layout.sites:
            for row, inputs in zip(batch.rows, batch.captured[site.path], strict=True):
                places = list(path.places(row, site.stack))
                sums[site.path] = sums.get(site.path, 0) + inputs[places].double().sum(0)
                count[site.path] += len(places)
        del batch  # so that two batches are never held at once
    return {place: (total / count[place]).float() for place, total in sums.items()}
