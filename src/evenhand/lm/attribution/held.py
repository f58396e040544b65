"""How much of each gap between groups a unit holds: to first order by its gradient, or exactly by switching it off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.component import Layout, Selection
from evenhand.core.progress import Progress, silent
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.knockouts import Positions, knockouts
from evenhand.lm.attribution.objective import cells, favourable_rows
from evenhand.lm.attribution.trace import trace
from evenhand.lm.model import LM


@dataclass(frozen=True, eq=False)
class Held:
    """One gap: mean favourable outcome of the reference − that of another group, in one variation of one context."""

    name: str
    """context/variation/other group."""
    gap: float
    held: Float[Tensor, " unit"]
    """The gap − the gap without each unit (float64)."""


def weighted(parts: Iterable[Held]) -> tuple[Float[Tensor, " unit"], dict[str, float]]:
    """Return Σ gap · held / Σ |gap|, float32, and every gap by its name; zeros where there is no gap at all."""
    total, weight, gaps = torch.zeros(1, dtype=torch.float64), 0.0, dict[str, float]()
    for part in parts:
        total = total + part.gap * part.held
        weight += abs(part.gap)
        gaps[part.name] = part.gap
    return (total / weight if weight else total).float(), gaps


def first_order(lm: LM, scenario: Scenario, layout: Layout, at: Positions = "all") -> Iterator[Held]:
    """Yield what every unit holds of each gap to first order: Σ activation · gradient, all units from one backward."""
    for part in cells(scenario):
        means = _Means(part)
        for batch in trace(lm, favourable_rows(lm, part), layout, gradients=True):
            held = torch.cat([batch.effect(site, at).double().cpu() for site in layout.sites], dim=1)
            for case, value, one in zip(batch.cases, batch.per_case(batch.objective), held, strict=True):
                means.add(case, float(value), one)
            del batch  # so that two batches are never held at once
        yield from means.gaps()


def exact(
    lm: LM, scenario: Scenario, units: Selection, at: Positions = "all", progress: Progress = silent
) -> Iterator[Held]:
    """Yield what each selected unit holds of each gap, in the order of their addresses, by switching it off alone."""
    for part in cells(scenario):
        means = _Means(part)
        base, without = knockouts(lm, favourable_rows(lm, part), units, at, progress)
        for case, (value, one) in enumerate(zip(base, without.T, strict=True)):
            means.add(case, float(value), value - one)
        yield from means.gaps()


def gaps_of(part: Scenario, outcome: dict[str, float], held: dict[str, Float[Tensor, " unit"]]) -> Iterator[Held]:
    """Yield the gap between the reference and each other group of one variation, from means by group."""
    reference, first = part.groups[0], part.cases[0]
    for other in (group for group in outcome if group != reference):
        name = f"{first.context}/{first.variation}/{other}"
        yield Held(name, outcome[reference] - outcome[other], held[reference] - held[other])


class _Means:
    """Means by group of the outcome, and of what each unit holds of it."""

    def __init__(self, part: Scenario) -> None:
        self.part = part
        self.groups = [case.group for case in part.cases]
        self.outcome = dict.fromkeys(self.groups, 0.0)
        self.held: dict[str, Tensor] = {}

    def add(self, case: int, value: float, held: Float[Tensor, " unit"]) -> None:
        """Take up a case."""
        group = self.groups[case]
        share = 1 / self.groups.count(group)
        self.outcome[group] += value * share
        self.held[group] = self.held.get(group, 0) + held * share

    def gaps(self) -> Iterator[Held]:
        """Yield every gap."""
        return gaps_of(self.part, self.outcome, self.held)
