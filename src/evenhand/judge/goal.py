"""What an edit did to the goal its size was chosen by, where a study names one in place of the gap between groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evenhand.core.estimate import Estimate
from evenhand.judge.facts import Facts, Place, shown

Reached = Literal["better", "same", "worse", "undefined"]


@dataclass(frozen=True)
class Aimed:
    """The goal in one context that was fitted on, on what neither fitted nor chose."""

    context: str
    base: Estimate
    edit: Estimate
    change: Estimate
    """Paired difference, edit − unedited."""
    random: Estimate
    """The same under the random edit of the same size."""
    beyond: Estimate
    """Paired difference, edit − random edit."""
    sign: float
    """1 where high is better, −1 where low is."""

    @property
    def status(self) -> Reached:
        """Better only beyond chance and, where there is a random edit beside it, beyond that too."""
        if not self.base.defined or not self.change.defined:
            return "undefined"
        if not shown(self.change):
            return "same"
        if self.sign * self.change.value < 0:
            return "worse"
        beaten = not self.beyond.defined or (shown(self.beyond) and self.sign * self.beyond.value > 0)
        return "better" if beaten else "same"


def goal_name(facts: Facts) -> str:
    """Return the measure a size was chosen by, with its key unless that is `value`; empty: by the gap."""
    goal = facts.cell.spec.run.get("goal")
    if not goal:
        return ""
    return goal["measure"] if goal["key"] == "value" else f"{goal['measure']}.{goal['key']}"


def aimed(facts: Facts) -> list[Aimed]:
    """Return the goal in every context fitted on; nothing where the size was chosen by the gap."""
    goal = facts.cell.spec.run.get("goal")
    if not goal:
        return []
    measure, key = str(goal["measure"]), str(goal["key"])
    found: list[Aimed] = []
    for context in facts.cell.spec.fitted_on:
        place = Place(context, "", "")
        found.append(
            Aimed(
                context=context,
                base=facts.level(measure, key, place, "base"),
                edit=facts.level(measure, key, place, "edit"),
                change=facts.level(measure, key, place, "edit", change=True),
                random=facts.level(measure, key, place, "random", change=True),
                beyond=facts.cost_beyond(measure, key, place),
                sign=1.0 if goal["better"] == "high" else -1.0,
            )
        )
    return found


def reached(found: Sequence[Aimed]) -> Reached:
    """Return one word for all contexts: the worst that happened, else the best."""
    for status in ("worse", "better", "same"):
        if any(each.status == status for each in found):
            return status
    return "undefined"
