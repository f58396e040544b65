"""What a run says of edits that were set against controls: where they did more than every one of them. Pure logic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evenhand.core.compared import Beyond, Compared, Where
from evenhand.core.record import RunRecord
from evenhand.judge.facts import GAP

DAMAGE, LEAST = 0.25, 0.05
"""A control does other damage than an edit where their perplexities surely differ by more than this share of what the
edit costs, and by more than this."""
_WORDS = {"value": "", "value.abs": "size", "abs": "size"}


@dataclass(frozen=True)
class Goal:
    """The number that edits are judged by, and which way is better."""

    measure: str
    key: str
    better: Literal["low", "high"]

    @property
    def name(self) -> str:
        """The measure in words."""
        return in_words(self.measure, self.key)


def in_words(measure: str, key: str) -> str:
    """Return a measure and its key as people read them: `value.hateful` is its part `hateful`."""
    name, part = measure.replace("_", " "), _WORDS.get(key, key.removeprefix("value.").replace("_", " "))
    return f"size of the {name}" if part == "size" else f"{name}, {part}" if part else name


def goal_of(record: RunRecord) -> Goal:
    """Return the study's goal; without one, the size of the gap between groups."""
    goal: dict[str, Any] | None = record.config.get("goal")
    return Goal(goal["measure"], goal["key"], goal["better"]) if goal else Goal(GAP, "value.abs", "low")


def surpasses(number: Beyond) -> bool:
    """Whether it is shown to have changed more than every control: q is at most 1 − level."""
    return not math.isnan(number.q) and number.q <= 1 - number.change.level + 1e-9


def unproven(record: RunRecord, compared: Sequence[Compared]) -> set[str]:
    """Return the hashes of the cells whose edit did nothing beyond all its controls where it was fitted.

    What such a cell shows beside one random edit, in one seed, is then no gain.
    """
    goal = goal_of(record)
    found: set[str] = set()
    for each in compared:
        own = [n for n in each.numbers if n.where == "own" and (n.measure, n.key) == (goal.measure, goal.key)]
        better = [n for n in own if surpasses(n) and (n.change.value > 0) == (goal.better == "high")]
        if own and not better:
            found |= set(each.cells)
    return found


@dataclass(frozen=True)
class Tally:
    """Of several numbers, how many went up or down by more than under every control."""

    places: int
    """Those of which enough is known to tell."""
    up: int
    down: int
    unknown: int

    def better(self, goal: Goal) -> int:
        """How many went the way that is better."""
        return self.up if goal.better == "high" else self.down

    def worse(self, goal: Goal) -> int:
        """How many went the other way."""
        return self.down if goal.better == "high" else self.up


@dataclass(frozen=True)
class Outcome:
    """What the edits of one method of the study came to, on one model."""

    name: str
    model: dict[str, Any]
    edits: tuple[Compared, ...]
    goal: Goal
    own: Tally
    """Of the goal where each was fitted."""
    other: Tally
    """Of the goal in the rest of the scenario: what transferred."""
    general: Tally
    """Of every number on utility texts and other benchmarks."""
    damage: float
    """Mean rise of perplexity on utility texts under the edits, in its own unit; NaN where it was not measured."""
    damages: dict[str, float]
    """The same under each control."""
    unequal: int
    """For how many edits a control surely does other damage."""


def outcomes(record: RunRecord, compared: Sequence[Compared]) -> list[Outcome]:
    """Return one outcome per model and method of the study, in the order of the run."""
    goal = goal_of(record)
    found: dict[tuple[str, int], list[Compared]] = {}
    for each in compared:
        found.setdefault((str(each.model), each.place), []).append(each)
    names = {place: edits[0].method for (_, place), edits in found.items()}
    return [_outcome(goal, edits, list(names.values()).count(names[place]) > 1) for (_, place), edits in found.items()]


def _outcome(goal: Goal, edits: Sequence[Compared], several: bool) -> Outcome:
    first = edits[0]
    fixed = [f"{key} = {value}" for key, value in first.settings.items() if key not in first.varied]
    numbers = [number for edit in edits for number in edit.numbers]
    aims = [n for n in numbers if (n.measure, n.key) == (goal.measure, goal.key)]
    costs = [n for n in numbers if (n.measure, n.key, n.where) == ("perplexity", "value", "general")]

    def tally(where: Where, among: Iterable[Beyond]) -> Tally:
        there = [n for n in among if n.where == where and (where != "general" or not n.key.endswith(".abs"))]
        sure = [n.change.value for n in there if surpasses(n)]
        unknown = sum(math.isnan(n.p) for n in there)
        return Tally(len(there) - unknown, sum(v > 0 for v in sure), sum(v < 0 for v in sure), unknown)

    return Outcome(
        name=f"{first.method} ({'; '.join(fixed) or 'its own settings'})" if several else first.method,
        model=first.model,
        edits=tuple(edits),
        goal=goal,
        own=tally("own", aims),
        other=tally("other", aims),
        general=tally("general", numbers),
        damage=_mean([n.change.value for n in costs]),
        damages={label: _mean([n.controls[label].value for n in costs]) for label in first.controls},
        unequal=sum(any(_unequal(n, label) for label in n.more) for n in costs),
    )


def _unequal(cost: Beyond, control: str) -> bool:
    differ = cost.more[control]
    return differ.excludes(0.0) and abs(differ.value) > max(LEAST, DAMAGE * abs(cost.change.value))


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def sentence(outcome: Outcome) -> str:
    """Return what the edits did beyond all controls, where they were fitted and elsewhere, in plain words."""
    goal, own, other = outcome.goal, outcome.own, outcome.other
    edits = "1 edit" if len(outcome.edits) == 1 else f"{len(outcome.edits)} edits"
    controls = outcome.edits[0].controls
    parts = [f"{outcome.name}: {edits}, {_seeds(outcome)}, each set against {_and(controls)}."]
    them = "it" if len(controls) == 1 else "all of them"
    fell = "lowered" if goal.better == "low" else "raised"
    if own.places:
        where = f"in {own.better(goal)} of {_places(own)} where an edit was fitted"
        where += f" and in {other.better(goal)} of {_places(other)} where it was not" if other.places else ""
        parts.append(f"Beyond {them}, the {goal.name} was {fell} {where}.")
    elif other.places:
        parts.append(
            f"Beyond {them}, the {goal.name} was {fell} in {other.better(goal)} of {_places(other)} "
            "where no edit was fitted."
        )
    if worse := own.worse(goal) + other.worse(goal):
        parts.append(f"It got worse beyond {them} in {worse}.")
    if other.places:
        parts.append(_transferred(outcome))
    if unknown := own.unknown + other.unknown:
        parts.append(f"In {unknown} more too little is known to tell.")
    if outcome.general.places:
        moved = outcome.general.up + outcome.general.down
        parts.append(
            f"Of {outcome.general.places:,} numbers on other texts and benchmarks that could be tested, {moved} moved "
            "beyond all controls."
        )
    return " ".join([*parts, *_damage(outcome), *_idle(outcome)])


def _idle(outcome: Outcome) -> list[str]:
    """Where the unedited model was kept: a control that changes nothing is none."""
    found: dict[str, int] = {}
    for edit in outcome.edits:
        for label, n in edit.idle.items():
            found[label] = found.get(label, 0) + n
    total = sum(len(edit.seeds) for edit in outcome.edits)
    return [
        f"{label or 'The edit'} left the model as it was in {n} of {total} fits, for no size was chosen."
        for label, n in found.items()
    ]


def _transferred(outcome: Outcome) -> str:
    better, worse = outcome.other.better(outcome.goal), outcome.other.worse(outcome.goal)
    if not better:
        return "So nothing is shown to have transferred beyond the controls."
    if worse >= better:
        return "It got worse in as many places or more, so transfer is not shown."
    if not outcome.own.better(outcome.goal):
        return "Where edits were fitted nothing is shown, so this is no transfer of what they were fitted to."
    if any(len(edit.seeds) < 2 for edit in outcome.edits):
        return "In this one seed something transferred beyond the controls; another may say otherwise."
    return "So something transferred beyond the controls."


def _damage(outcome: Outcome) -> list[str]:
    """What both cost, and whether that is the same: if it is not, controls are no fair yardstick."""
    known = {label: rise for label, rise in outcome.damages.items() if not math.isnan(rise)}
    if math.isnan(outcome.damage) or not known:
        return []
    told = _and(f"{_signed(rise)} under {label}" for label, rise in known.items())
    cost = f"Perplexity of the utility texts: {_signed(outcome.damage)} under the edits, {told}"
    edits = len(outcome.edits)
    off = f"; for {outcome.unequal} of {edits} edits a control surely costs another amount, so damage is not equal"
    return [f"{cost}{off if outcome.unequal else ''}."]


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _seeds(outcome: Outcome) -> str:
    counts = sorted({len(edit.seeds) for edit in outcome.edits})
    if counts == [1]:
        return "one seed, so how much it varies is not known"
    return f"{counts[0]} seeds" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"


def _places(tally: Tally) -> str:
    return f"{tally.places} {'place' if tally.places == 1 else 'places'}"


def _and(names: Iterable[str]) -> str:
    few = list(names)
    return few[0] if len(few) == 1 else f"{', '.join(few[:-1])} and {few[-1]}"
