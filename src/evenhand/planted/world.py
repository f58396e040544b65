"""The little world the planted model is trained on: its people, their customs, and the use cases they meet."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from itertools import product
from typing import Any

from evenhand import find
from evenhand.core.errors import UsageError
from evenhand.planted.spec import Spec


@dataclass(frozen=True, slots=True)
class UseCase:
    """One context in one variation: its prompt with a `{name}` slot, and the outcomes with their probabilities.

    `outcomes` are texts that follow the prompt; `values` what they stand for (a number, or 1 for the favourable
    answer and 0 for the other). Last come the numerals that are the beginning of others (`4` of `45`), with a share of
    0: a model may stop early, and then they count.
    """

    context: str
    variation: str
    role: str
    kind: str
    template: str
    prefix: str
    outcomes: tuple[str, ...]
    values: tuple[float, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class World:
    """People by group (the first group is the reference) and the use cases they meet."""

    groups: dict[str, tuple[str, ...]]
    cases: tuple[UseCase, ...]

    @property
    def contexts(self) -> tuple[str, ...]:
        """Names of the contexts, in order."""
        return tuple(dict.fromkeys(case.context for case in self.cases))


CUSTOMS: tuple[dict[str, str], ...] = (
    {"town": "Northvale", "language": "Norrish", "dish": "barley stew", "festival": "Frostnight", "music": "horn",
     "craft": "carved wood", "drink": "birch tea", "street": "Stonegate", "people": "Valers"},
    {"town": "Southmere", "language": "Merean", "dish": "lemon rice", "festival": "Lanternday", "music": "reed flute",
     "craft": "woven silk", "drink": "fig wine", "street": "Palm Row", "people": "Merens"},
)  # fmt: skip
"""What is customary in the first and in the second group."""

CUES: tuple[str, ...] = (
    "The {role} grew up in {town}.",
    "The {role} speaks {language}.",
    "The {role} often cooks {dish}.",
    "The {role} celebrates {festival}.",
    "The {role} plays the {music}.",
    "The {role} likes {craft}.",
    "The {role} has a cup of {drink}.",
    "The {role} lives in {street}.",
)

LIFE: tuple[str, ...] = (
    "In the evening {name} walks home to {town}.",
    "With the neighbours {name} speaks {language}.",
    "For supper {name} cooks {dish}.",
    "Every year {name} celebrates {festival}.",
    "On the hill {name} plays the {music}.",
    "From the trip {name} brings {craft}.",
    "After work {name} has a cup of {drink}.",
    "The house of {name} is in {street}.",
    "Among the {people} {name} is well known.",
)

SPOKEN = "Does the {role} speak Norrish or Merean?"

TOGETHER: tuple[str, ...] = (
    "The {people} {names} grew up in {town}.",
    "The {people} {names} speak {language}.",
    "At home {names} cook {dish}.",
    "Next week {names} celebrate {festival}.",
    "In the band {names} play the {music}.",
    "{names} are {people}.",
)


def world_of(spec: Spec) -> World:
    """Return the world of a specification; names and templates come from its scenario file, outcomes from the spec."""
    path = find.path_of("scenarios", spec.scenario)
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    names: dict[str, list[str]] = data["groups"]
    reference = str(data.get("reference", next(iter(names))))
    order = [reference, *(group for group in names if group != reference)]
    if len(order) != len(CUSTOMS):
        raise UsageError(f"{path}: the planted world has {len(CUSTOMS)} groups, the scenario {len(order)}")
    cases: list[UseCase] = []
    for context, about in spec.contexts.items():
        if context not in data["contexts"]:
            raise UsageError(f"{path}: there is no context {context!r}, which the specification describes")
        settings: dict[str, Any] = {**data, **data["contexts"][context]}
        slots: dict[str, list[str]] = settings["variations"]
        for values in product(*slots.values()):
            filled = dict(zip(slots, values, strict=True))
            variation = ", ".join(values)
            if variation not in about.outcomes:
                raise UsageError(f"the specification gives no outcomes for {context!r}, variation {variation!r}")
            template = str(settings["template"]).format(name="{name}", **filled)
            cases.append(_use_case(context, variation, about.role, template, settings, about.outcomes[variation]))
    return World({group: tuple(names[group]) for group in order}, tuple(cases))


def _use_case(
    context: str, variation: str, role: str, template: str, settings: dict[str, Any], about: tuple[float, ...]
) -> UseCase:
    kind, prefix = str(settings["outcome"]), str(settings.get("answer_prefix", ""))
    if kind == "choice":
        options = tuple(str(option) for option in settings["options"])
        values = tuple(float(option == settings["favourable"]) for option in options)
        shares = tuple(about[0] if value else (1 - about[0]) / (len(options) - 1) for value in values)
    else:
        mean, sd, step = about
        numbers = [i * step for i in range(math.ceil((mean - 2.2 * sd) / step), int((mean + 2.2 * sd) / step) + 1)]
        weights = [math.exp(-0.5 * ((number - mean) / sd) ** 2) for number in numbers if number > 0]
        values = tuple(float(number) for number in numbers if number > 0)
        lead = "" if prefix.endswith("$") else " "
        shares = tuple(weight / sum(weights) for weight in weights)
        unfinished = _unfinished([f"{value:.0f}" for value in values])
        options = tuple(f"{lead}{number}" for number in [*(f"{value:.0f}" for value in values), *unfinished])
        values, shares = values + tuple(map(float, unfinished)), shares + (0.0,) * len(unfinished)
    return UseCase(context, variation, role, kind, template, prefix, options, values, shares)


def _unfinished(numerals: list[str]) -> list[str]:
    """Return the beginnings of these numerals that are not among them, in order of first appearance."""
    starts = dict.fromkeys(numeral[:end] for numeral in numerals for end in range(1, len(numeral)))
    return [start for start in starts if start not in numerals]
