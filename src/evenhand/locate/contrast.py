"""Which units carry the gap between groups: activation × gradient of the favourable outcome, contrasted.

For each case, Σ a·g over tokens is to first order how much a unit adds to the favourable outcome (see
`evenhand.lm.attribution.objective`). `effect` takes the difference of its group means: minus that number is the
first-order change of the gap when the unit is switched off (attribution patching towards zero; Nanda 2023; Michel et
al. 2019 for a single loss). `activation` takes the difference of the group mean activations × the mean gradient, which
leaves out that the same activation may count more for one group; docs/decisions/0005-contrast-scores-effects.md
compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.component import Attribution, Layout, Space
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.held import Held, first_order, gaps_of, weighted
from evenhand.lm.attribution.objective import cells, favourable_rows
from evenhand.lm.attribution.rows import Row
from evenhand.lm.attribution.trace import Batch, trace
from evenhand.lm.model import LM

Kind = Literal["effect", "activation"]


@dataclass(frozen=True)
class Contrast:
    """Score units by how far switching them off closes the gaps, to first order.

    A score is Σ gap · (the unit's part of the gap) / Σ |gap| over context × variation × (reference, other group), so
    variations without a gap count little, and a unit that holds the gap back scores below zero.
    """

    space: Space = "neuron"
    kind: Kind = "effect"

    def __post_init__(self) -> None:
        """Refuse single weights."""
        if self.space == "weight":
            raise UsageError(
                "contrast: single weights have no activation; use another space, or locators wanda or snip"
            )

    def score(self, lm: LM, scenario: Scenario) -> Attribution:
        """Return one score per unit, in the unit of the outcome (number: about standard deviations; others: nats)."""
        layout = lm.layout(self.space)
        held = (first_order if self.kind == "effect" else _aligned)(lm, scenario, layout)
        scores, gaps = weighted(held)
        return Attribution(layout, scores, "contrast", {"kind": self.kind, "gaps": gaps})


def _aligned(lm: LM, scenario: Scenario, layout: Layout) -> Iterator[Held]:
    """Yield the difference of the group mean activations × the mean gradient, gap by gap."""
    for part in cells(scenario):
        sums = _Means(layout, part)
        for batch in trace(lm, favourable_rows(lm, part), layout, gradients=True):
            sums.add(batch)
            del batch  # so that two batches are never held at once
        yield from gaps_of(part, sums.outcome, sums.carried())


class _Means:
    """Group mean activations and the mean gradient at each place, places counted from the end of the prompt.

    Prompts of the two groups may differ in length (names of more tokens), so place −1 is the last prompt token, 0 the
    first of the answer; the k-th row of a case (its k-th answer) has places of its own.
    """

    def __init__(self, layout: Layout, part: Scenario) -> None:
        self.layout = layout
        self.groups = [case.group for case in part.cases]
        self.outcome = dict.fromkeys(self.groups, 0.0)
        """Mean favourable outcome of each group."""
        self.sums: dict[tuple[str, str, int, int], Tensor] = {}
        self.slopes: dict[tuple[str, int, int], Tensor] = {}
        self.counts: dict[tuple[str, str, int, int], int] = {}

    def add(self, batch: Batch) -> None:
        """Take up a batch."""
        for case, value in zip(batch.cases, batch.per_case(batch.objective), strict=True):
            group = self.groups[case]
            self.outcome[group] += float(value) / self.groups.count(group)
        number: dict[int, int] = {}
        for r, row in enumerate(batch.rows):
            k = number[row.case] = number.get(row.case, -1) + 1
            for site in self.layout.sites:
                for place in row.places(site.stack, "all"):
                    self._one(batch, r, k, site.path, place, row)

    def _one(self, batch: Batch, r: int, k: int, path: str, place: int, row: Row) -> None:
        at = place - row.prompt
        key = (self.groups[row.case], path, k, at)
        self.sums[key] = self.sums.get(key, 0) + batch.captured[path][r, place].double().cpu()
        self.slopes[key[1:]] = self.slopes.get(key[1:], 0) + batch.gradients[path][r, place].double().cpu()
        self.counts[key] = self.counts.get(key, 0) + 1

    def carried(self) -> dict[str, Float[Tensor, " unit"]]:
        """Per group: mean activation × mean gradient of all cases, summed over the places every group has."""
        out: dict[str, Tensor] = {}
        groups = list(dict.fromkeys(self.groups))
        for group in groups:
            pieces: list[Tensor] = []
            for site in self.layout.sites:
                total = torch.zeros(site.units * site.width, dtype=torch.float64)
                for (path, k, at), slope in self.slopes.items():
                    keys = [(g, path, k, at) for g in groups]
                    if path == site.path and all(key in self.counts for key in keys):
                        mean = self.sums[group, path, k, at] / self.counts[group, path, k, at]
                        total += mean * slope / sum(self.counts[key] for key in keys)
                pieces.append(total.reshape(site.units, site.width).sum(1))
            out[group] = torch.cat(pieces)
        return out
