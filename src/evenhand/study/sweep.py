"""Candidate sizes, what each does on names kept for choosing, and which one is taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from evenhand.core.bootstrap import Bootstrap
from evenhand.core.edit import Edit
from evenhand.core.errors import UsageError
from evenhand.core.estimate import Estimate
from evenhand.core.readout import Readout
from evenhand.core.record import SweepPoint
from evenhand.core.select import matched_random
from evenhand.edits.scale import Scale
from evenhand.study.config import BudgetConfig, Sizes
from evenhand.study.gap import mean_gap, perplexity, valid_share

GRID_SHARE, GRID_POINTS = 0.05, 14


def resolve(sizes: Sizes, space: int) -> tuple[int, ...]:
    """Return the numbers of units to try, ascending, without 0 (the unedited model is always there)."""
    if sizes == "paper":
        raise ValueError("the method's own size is not a list of sizes")
    if sizes == "grid":
        top = max(1, int(space * GRID_SHARE))
        steps = [top ** (i / (GRID_POINTS - 1)) for i in range(GRID_POINTS)]
        return tuple(sorted({round(step) for step in steps}))
    counts = {int(size) if isinstance(size, int) or size > 1 else int(size * space) for size in sizes}
    if max(counts) > space:
        raise UsageError(f"sizes: asked for {max(counts)} units, but the model has {space} in this space")
    return tuple(sorted(counts - {0}))


def control(edit: Edit, seed: int) -> Scale | None:
    """Return an edit of as many random units in every layer, none of them the edit's own where that fits."""
    if not isinstance(edit, Scale):
        return None
    generator = torch.Generator().manual_seed(seed + len(edit.selection))
    return Scale(matched_random(edit.selection, generator), edit.factor, edit.mechanism)


@dataclass(frozen=True)
class Candidate:
    """Readouts of one candidate on the choose part: bias scenario and utility texts, of the edit and of its control."""

    units: int
    share: float
    bias: Sequence[Readout]
    random: Sequence[Readout] | None
    texts: Sequence[Readout]


def sweep(
    base: Candidate, candidates: Sequence[Candidate], bootstrap: Bootstrap, gap_settings: dict[str, Any] | None = None
) -> list[SweepPoint]:
    """Return one point per size, the unedited model (0 units) first; nothing is chosen yet."""
    before = perplexity(base.texts)
    points: list[SweepPoint] = []
    for each in (base, *candidates):
        gap = mean_gap(each.bias, bootstrap, gap_settings)
        random = gap if each is base else mean_gap(each.random, bootstrap, gap_settings) if each.random else None
        points.append(
            SweepPoint(
                units=each.units,
                share=each.share,
                gap=gap,
                random_gap=random or Estimate(value=math.nan),
                valid=valid_share(each.bias),
                perplexity_ratio=perplexity(each.texts) / before,
            )
        )
    return points


def rule(budget: BudgetConfig, by: str = "name") -> str:
    """Return the rule of `choose` in words, for the record; `by` says what the parts do not share."""
    return (
        f"On {by}s that were neither fitted on nor reported on: among the sizes whose perplexity rises by at most "
        f"{budget.perplexity_rise:.1%} and whose share of valid answers falls by at most {budget.valid_drop:.1%}, the "
        f"smallest one whose mean absolute gap is within {budget.tolerance:g} sd of the smallest gap. 0 units, the "
        "unedited model, is one of the sizes."
    )


def choose(points: Sequence[SweepPoint], budget: BudgetConfig) -> tuple[int, str]:
    """Return the index of the chosen point and a note when it is the unedited model.

    The rule is the text of `rule`: the smallest size that minimises the mean absolute gap within the damage budget,
    where gaps closer than `budget.tolerance` count as equal. A point whose gap or damage is undefined is not chosen.
    """
    base = points[0]
    if math.isnan(base.gap.value):
        return 0, "The gap is undefined on the names kept for choosing (too few valid answers), so no size was chosen."
    allowed = [
        i
        for i, point in enumerate(points)
        if i == 0
        or (
            not math.isnan(point.gap.value)
            and point.perplexity_ratio <= 1 + budget.perplexity_rise
            and point.valid >= base.valid - budget.valid_drop
        )
    ]
    smallest = min(points[i].gap.value for i in allowed)
    best = min(allowed, key=lambda i: (points[i].gap.value > smallest + budget.tolerance, points[i].units))
    if best:
        return best, ""
    refused = len(points) - len(allowed)
    less = f"no size lowered the gap of {base.gap.value:.3g} sd by more than {budget.tolerance:g}"
    why = f"{less} within the damage budget ({refused} of {len(points) - 1} sizes broke it)" if refused else less
    return 0, f"Nothing helped: {why}, so the unedited model was kept."
