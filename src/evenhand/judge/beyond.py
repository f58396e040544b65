"""What a run says of edits that were set against controls: where they did more than every one of them. Pure logic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from evenhand.core.compared import Beyond, Compared
from evenhand.core.record import RunRecord
from evenhand.judge.facts import GAP

Where = Literal["own", "other", "mixed", "general"]


@dataclass(frozen=True)
class Goal:
    """The number that edits are judged by, and which way is better."""

    measure: str
    key: str
    better: Literal["low", "high"]

    @property
    def name(self) -> str:
        """The measure in words, with its key where it has several."""
        words = self.measure.replace("_", " ")
        return words if self.key in ("value", "value.abs") else f"{words} ({self.key})"


def goal_of(record: RunRecord) -> Goal:
    """Return the study's goal; without one, the size of the gap between groups."""
    goal: dict[str, Any] | None = record.config.get("goal")
    return Goal(goal["measure"], goal["key"], goal["better"]) if goal else Goal(GAP, "value.abs", "low")


def where(record: RunRecord, compared: Compared, number: Beyond) -> Where:
    """Return whether a number is about what the edit was fitted to, about another part of the scenario, or neither.

    Where a setting that is varied names groups of the scenario, those are what it was fitted to, and all groups
    together are `mixed`; otherwise it is the contexts it was fitted on. Utility texts and other benchmarks: `general`.
    """
    if number.context not in {context.name for context in record.scenario.contexts}:
        return "general"
    named = _named(compared.varied.values()) & set(record.scenario.groups)
    if not named:
        return "own" if number.context in compared.fitted_on else "other"
    groups = set(number.groups)
    if groups <= named:
        return "own"
    return "mixed" if groups & named else "other"


def surpasses(number: Beyond) -> bool:
    """Whether it is shown to have changed more than every control: q is at most 1 − level."""
    return not math.isnan(number.q) and number.q <= 1 - number.change.level + 1e-9


@dataclass(frozen=True)
class Tally:
    """Of several numbers, how many did better, and how many worse, than every control."""

    places: int
    better: int
    worse: int
    undefined: int


@dataclass(frozen=True)
class Outcome:
    """What the edits of one method came to, on one model."""

    method: str
    model: dict[str, Any]
    edits: tuple[Compared, ...]
    goal: Goal
    own: Tally
    """Of the goal where each was fitted."""
    other: Tally
    """Of the goal in the rest of the scenario: what transferred."""
    general: Tally
    """Of every number on utility texts and other benchmarks: `better` went up, `worse` went down."""


def outcomes(record: RunRecord, compared: Sequence[Compared]) -> list[Outcome]:
    """Return one outcome per model and method as the study lists it, in the order of the run."""
    goal = goal_of(record)
    found: dict[tuple[str, str, str], list[Compared]] = {}
    for each in compared:
        fixed = {key: value for key, value in each.settings.items() if key not in each.varied}
        found.setdefault((str(each.model), each.method, str(sorted(fixed.items()))), []).append(each)
    return [_outcome(record, goal, edits) for edits in found.values()]


def _outcome(record: RunRecord, goal: Goal, edits: Sequence[Compared]) -> Outcome:
    aims: dict[Where, list[Beyond]] = {"own": [], "other": [], "mixed": [], "general": []}
    for each in edits:
        for number in each.numbers:
            place = where(record, each, number)
            if (number.measure, number.key) == (goal.measure, goal.key) or place == "general":
                aims[place].append(number)
    return Outcome(edits[0].method, edits[0].model, tuple(edits), goal, _tally(aims["own"], goal.better),
                   _tally(aims["other"], goal.better), _tally(aims["general"], "high"))  # fmt: skip


def _tally(numbers: Sequence[Beyond], better: Literal["low", "high"]) -> Tally:
    sure = [number.change.value for number in numbers if surpasses(number)]
    good = sum((value > 0) == (better == "high") for value in sure)
    return Tally(len(numbers), good, len(sure) - good, sum(math.isnan(number.p) for number in numbers))


def _named(values: Iterable[Any]) -> set[str]:
    """Every string among values, however they are nested."""
    found: set[str] = set()
    for value in values:
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, list | tuple):
            found |= _named(cast("Iterable[Any]", value))
    return found


def sentence(outcome: Outcome) -> str:
    """Return what the edits did beyond all controls, where they were fitted and elsewhere, in plain words."""
    first = outcome.edits[0]
    fell = "lowered" if outcome.goal.better == "low" else "raised"
    seeds = f"{len(first.seeds)} seeds" if len(first.seeds) > 1 else "one seed, so how much it varies is not known"
    edits = "1 edit" if len(outcome.edits) == 1 else f"{len(outcome.edits)} edits"
    parts = [
        f"{outcome.method}: {edits}, {seeds}, each set against {_and(first.controls)}.",
        f"Beyond all of them, {outcome.goal.name} was {fell} {_in(outcome.own)} where an edit was fitted"
        + (f" and {_in(outcome.other)} where it was not." if outcome.other.places else "."),
    ]
    worse = outcome.own.worse + outcome.other.worse
    if worse:
        parts.append(f"It got worse beyond all of them in {worse}.")
    if outcome.other.places:
        parts.append(
            "So something transferred beyond the controls."
            if outcome.other.better
            else "So nothing is shown to have transferred beyond the controls."
        )
    unknown = outcome.own.undefined + outcome.other.undefined
    if unknown:
        parts.append(f"In {unknown} of these places too little is known to tell.")
    if outcome.general.places:
        moved = outcome.general.better + outcome.general.worse
        parts.append(
            f"Of {outcome.general.places} numbers on other texts and benchmarks {moved} moved beyond all controls."
        )
    return " ".join(parts)


def _in(tally: Tally) -> str:
    return f"in {tally.better} of {tally.places} {'place' if tally.places == 1 else 'places'}"


def _and(names: Iterable[str]) -> str:
    few = list(names)
    return few[0] if len(few) == 1 else f"{', '.join(few[:-1])} and {few[-1]}"
