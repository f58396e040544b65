"""What a measure may declare beside its contract, as class variables; most declare nothing of it.

`facts`: those of a case that it reads (`Case.facts`), with examples of the values they may have; `examples`: raw
answers that it reads. A measure with several keys: `neutrals`, key → its neutral value (keys left out have none;
without it all have `neutral`); `units` of keys that are not in `unit`; `headline`, the keys that a table of many
measures shows (without it: those without a dot); `alternatives`, whether its keys are conventions of which some are not
for every model; `distances`, keys that noise keeps above 0. `guesses` says what guessing gives, key → value (NaN: one
over the number of options): a model that is not above it does not do the task. `beside_unedited`: it tells what an edit
changed, and nothing of a model alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from evenhand.core.readout import Readout

Facts = Mapping[str, tuple[str, ...]]


def facts_of(each: Any) -> Facts:
    """Return the facts of a case that a measure reads; most read none."""
    return getattr(each, "facts", {})


def neutral_of(each: Any, key: str) -> float:
    """Return the value of a key that means "no difference"; NaN where it has none."""
    own: Mapping[str, float] | None = getattr(each, "neutrals", None)
    return each.neutral if own is None else own.get(key, math.nan)


def headline_of(each: Any, keys: Iterable[str]) -> tuple[str, ...]:
    """Return which of its keys a table of many measures shows."""
    own: tuple[str, ...] | None = getattr(each, "headline", None)
    return own or tuple(key for key in keys if "." not in key)


def guess_of(each: Any, key: str, readout: Readout) -> float | None:
    """Return what guessing gives under a key, with the options of these cases; None where that means nothing."""
    guesses: Mapping[str, float] = getattr(each, "guesses", {})
    value = guesses.get(key)
    if value is None or not math.isnan(value):
        return value
    shares = [1 / len(case.options) for case in readout.cases if case.options]
    return sum(shares) / len(shares) if shares else None


def unit_of(each: Any, key: str) -> str:
    """Return the unit of a key."""
    own: Mapping[str, str] = getattr(each, "units", {})
    return own.get(key, each.unit)


def distances_of(each: Any) -> tuple[str, ...]:
    """Return the keys that noise keeps above 0."""
    return getattr(each, "distances", ())


def alternatives_of(each: Any) -> bool:
    """Return whether its keys are conventions of which some are not for every model."""
    return getattr(each, "alternatives", False)


def beside_unedited(each: Any) -> bool:
    """Return whether it tells what an edit changed, and nothing of a model alone."""
    return getattr(each, "beside_unedited", False)
