"""The first sentence of a verdict where a study's size was chosen by a goal, not by the gap between groups."""

from __future__ import annotations

from evenhand.judge.facts import Facts
from evenhand.judge.goal import Aimed, aimed, goal_name
from evenhand.report import words


def told(facts: Facts) -> str:
    """Return what became of the goal in every context fitted on; empty where the size was chosen by the gap."""
    found, name = aimed(facts), goal_name(facts)
    if not found:
        return ""
    if facts.unedited:
        levels = words.listing([f"{words.number(each.base.value)} in “{each.context}”" for each in found])
        return f"no number of units did better than leaving the model alone, so {name} stays at {levels}"
    return f"{name} {words.listing([_one(each) for each in found])}"


def _one(each: Aimed) -> str:
    if each.status == "undefined":
        return f"is undefined in “{each.context}”"
    went = f"went from {words.number(each.base.value)} to {words.number(each.edit.value)} in “{each.context}”"
    said = {
        "better": "better, and by more than with random units" if each.beyond.defined else "better",
        "worse": "worse",
        "same": "no gain is shown beyond chance and random units",
    }[each.status]
    random = f"; with random units {words.estimate(each.random)}" if each.random.defined else ""
    return f"{went} (a change of {words.estimate(each.change)}: {said}{random})"
