"""Candidate sizes, what each does on names kept for choosing, and which one is taken."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evenhand.core.bootstrap import Bootstrap
from evenhand.core.contracts import Dose, Dosed, Method
from evenhand.core.edit import Edit
from evenhand.core.errors import UsageError
from evenhand.core.estimate import Estimate
from evenhand.core.highest import count_of
from evenhand.core.readout import Readout
from evenhand.core.record import SweepPoint
from evenhand.judge.facts import GAP, NOTHING
from evenhand.study.config import BudgetConfig, GoalConfig, Sizes
from evenhand.study.gap import goal_value, mean_gap, perplexity, valid_share

GRID_SHARE, GRID_POINTS = 0.05, 14


def resolve(sizes: Sizes, most: int, dose: Dose | None = None) -> tuple[int, ...]:
    """Return the sizes to try, ascending, without 0 (the unedited model is always there).

    They are numbers of units of a space of `most`, whose grid ends at 5 %, or doses, whose grid ends at the largest.
    """
    if sizes == "paper":
        raise ValueError("the method's own size is not a list of sizes")
    if sizes == "grid":
        top = max(1, count_of(GRID_SHARE, most)) if dose is None else dose.most
        steps = [top ** (i / (GRID_POINTS - 1)) for i in range(GRID_POINTS)]
        return tuple(sorted({round(step) for step in steps}))
    counts = {int(size) if isinstance(size, int) or size > 1 else count_of(size, most) for size in sizes}
    if dose is None and max(counts) > most:
        raise UsageError(f"sizes: asked for {max(counts)} units, but the model has {most} in this space")
    return tuple(sorted(counts - {0}))


def dose_of(method: Method) -> Dose | None:
    """Return how the edits of a method are sized that selects no units; raises UsageError where it does not say."""
    if method.space is not None:
        return None
    if isinstance(method, Dosed):
        return method.dose
    raise UsageError(
        f"{type(method).__name__}: a method whose space is None selects no units; it must say by a property `dose` how "
        "its edits are sized (see Dose in evenhand/core/contracts.py)"
    )


def taken(doses: Sequence[int], edits: Sequence[Edit]) -> tuple[tuple[int, ...], list[Edit]]:
    """Return the doses that trained edits were really taken at, each once and none of 0, with their edits.

    After a stop several doses are one edit, or the unedited model. Edits that were not trained are all returned.
    """
    if not edits or any(edit.trained is None for edit in edits):
        return tuple(doses), list(edits)
    reached: dict[int, Edit] = {}
    for edit in edits:
        if edit.trained is not None and edit.trained.reached:
            reached.setdefault(edit.trained.reached, edit)
    return tuple(sorted(reached)), [reached[dose] for dose in sorted(reached)]


def short(doses: Sequence[int], edits: Sequence[Edit]) -> list[str]:
    """Return a note on the doses that training did not reach; none of a single one, whose stop says it."""
    ends = {dose: edit.trained.reached for dose, edit in zip(doses, edits, strict=False) if edit.trained is not None}
    missed = [dose for dose, reached in ends.items() if dose != reached]
    if not missed or len(ends) == 1:
        return []
    stands = f"step {ends[missed[0]]}" if ends[missed[0]] else "the unedited model"
    return [f"Training stopped before step {', '.join(map(str, missed))}: in its place stands {stands}."]


@dataclass(frozen=True)
class Candidate:
    """Readouts of one candidate on the choose part: bias scenario and utility texts, of the edit and of its control."""

    units: int
    share: float
    bias: Sequence[Readout]
    random: Sequence[Readout] | None
    texts: Sequence[Readout]


@dataclass(frozen=True)
class Aim:
    """What a size is chosen by: the gap, or the study's goal where it has one; and how both are measured."""

    bootstrap: Bootstrap
    settings: Mapping[str, dict[str, Any]]
    """Measure → its settings."""
    goal: GoalConfig | None = None

    def gap(self, readouts: Sequence[Readout]) -> Estimate:
        """Return the mean absolute gap; NaN without two groups."""
        return mean_gap(readouts, self.bootstrap, self.settings.get(GAP))

    def goal_value(self, readouts: Sequence[Readout]) -> Estimate:
        """Return the mean of the goal's measure; NaN without a goal."""
        if self.goal is None:
            return NOTHING
        return goal_value(readouts, self.goal, self.bootstrap, self.settings.get(self.goal.measure))


def sweep(base: Candidate, candidates: Sequence[Candidate], aim: Aim) -> list[SweepPoint]:
    """Return one point per size, the unedited model (0 units) first; nothing is chosen yet."""
    before = perplexity(base.texts)
    points: list[SweepPoint] = []
    for each in (base, *candidates):
        ours = aim.gap(each.bias), aim.goal_value(each.bias)
        beside = (aim.gap(each.random), aim.goal_value(each.random)) if each.random else (NOTHING, NOTHING)
        random = ours if each is base else beside
        points.append(
            SweepPoint(
                units=each.units,
                share=each.share,
                gap=ours[0],
                random_gap=random[0],
                goal=ours[1],
                random_goal=random[1],
                valid=valid_share(each.bias),
                perplexity_ratio=perplexity(each.texts) / before,
            )
        )
    return points


def rule(budget: BudgetConfig, by: str = "name", goal: GoalConfig | None = None) -> str:
    """Return the rule of `choose` in words, for the record; `by` says what the parts do not share."""
    wanted = (
        f"mean absolute gap is within {budget.tolerance:g} sd of the smallest gap"
        if goal is None
        else f"{_named(goal)} is within {goal.tolerance:g} of the {goal.better}est one"
    )
    return (
        f"On {by}s that were neither fitted on nor reported on: among the sizes whose perplexity rises by at most "
        f"{budget.perplexity_rise:.1%} and whose share of valid answers falls by at most {budget.valid_drop:.1%}, the "
        f"smallest one whose {wanted}. Size 0, the unedited model, is one of them."
    )


def choose(points: Sequence[SweepPoint], budget: BudgetConfig, goal: GoalConfig | None = None) -> tuple[int, str]:
    """Return the index of the chosen point and a note when it is the unedited model.

    The rule is the text of `rule`: the smallest size that minimises the mean absolute gap, or does best by the goal,
    within the damage budget, where values closer than the tolerance count as equal. A point whose value or damage is
    undefined is not chosen.
    """
    base = points[0]
    tolerance = budget.tolerance if goal is None else goal.tolerance
    sign = -1.0 if goal is not None and goal.better == "high" else 1.0
    values = [sign * (point.gap if goal is None else point.goal).value for point in points]
    what = "gap" if goal is None else _named(goal)
    if math.isnan(values[0]):
        return (
            0,
            f"The {what} is undefined on the names kept for choosing (too few valid answers), so no size was chosen.",
        )
    allowed = [
        i
        for i, point in enumerate(points)
        if i == 0
        or (
            not math.isnan(values[i])
            and point.perplexity_ratio <= 1 + budget.perplexity_rise
            and point.valid >= base.valid - budget.valid_drop
        )
    ]
    smallest = min(values[i] for i in allowed)
    best = min(allowed, key=lambda i: (values[i] > smallest + tolerance, points[i].units))
    if best:
        return best, ""
    refused = len(points) - len(allowed)
    less = (
        f"no size lowered the gap of {base.gap.value:.3g} sd by more than {tolerance:g}"
        if goal is None
        else f"no size did better than {base.goal.value:.3g} in {what} by more than {tolerance:g}"
    )
    why = f"{less} within the damage budget ({refused} of {len(points) - 1} sizes broke it)" if refused else less
    return 0, f"Nothing helped: {why}, so the unedited model was kept."


def _named(goal: GoalConfig) -> str:
    return goal.measure if goal.key == "value" else f"{goal.measure}.{goal.key}"
