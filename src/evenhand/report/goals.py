"""The first sentence of a verdict where a study's size was chosen by a goal, not by the gap between groups."""

from __future__ import annotations

from evenhand.judge.facts import Facts, Place
from evenhand.judge.goal import Aimed, aimed, goal_name
from evenhand.judge.verdict import Limits
from evenhand.report import words


def told(facts: Facts) -> str:
    """Return what became of the goal in every context fitted on; empty where the size was chosen by the gap."""
    found, name = aimed(facts), goal_name(facts).replace("_", " ")
    random = "a random edit of its size" if facts.cell.dose else f"random {facts.noun}"
    if not found:
        return ""
    if facts.unedited:
        levels = words.listing([f"{words.number(each.base.value)} in “{each.context}”" for each in found])
        tried = "dose" if facts.cell.dose else "number of units"
        said = f"no {tried} did better than leaving the model alone, so {name} stays at {levels}"
    else:
        said = f"{name} {words.listing([_one(each, random) for each in found])}"
    return said + "".join(_forced(facts, each.context) for each in found)


def _forced(facts: Facts, context: str) -> str:
    """What must be known of a goal in a context where the model hardly gives any of the offered answers."""
    place = Place(context, "", "")
    mass = facts.level("option_mass", "value", place, "base")
    if not mass.defined or mass.value >= Limits().option_mass:
        return ""
    return (
        f". In “{context}” the unedited model does not do the task: {words.percent(mass.value)} of its probability is "
        "on the offered answers, so the number tells a forced choice between answers it would hardly give; compare it "
        "with guessing"
    )


def _one(each: Aimed, random: str) -> str:
    if each.status == "undefined":
        return f"is undefined in “{each.context}”"
    went = f"went from {words.number(each.base.value)} to {words.number(each.edit.value)} in “{each.context}”"
    said = {
        "better": f"better, and by more than with {random}" if each.beyond.defined else "better",
        "worse": "worse",
        "same": f"no gain is shown beyond chance and {random}",
    }[each.status]
    beside = f"; with {random} {words.estimate(each.random)}" if each.random.defined else ""
    return f"{went} (a change of {words.estimate(each.change)}: {said}{beside})"
