"""Edits beside controls, made up: numbers about three groups, of which each edit was fitted to one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from evenhand.core.compared import Beyond, Compared, Where
from evenhand.core.estimate import Estimate

GROUPS = ("one", "two", "three")
MODEL: dict[str, Any] = {"source": "models/small-model", "sha256": "ab12" * 16, "dtype": "float32", "chat": False}
CONTROLS = ("random tokens", "noise of equal damage")


def number(
    groups: tuple[str, ...], where: Where, value: float, q: float, measure: str = "mean", context: str = "purchase"
) -> Beyond:
    """One number; every control changed 0.01 and the edit `value`."""

    def near(middle: float) -> Estimate:
        return Estimate(value=middle, low=middle - 0.1, high=middle + 0.1, p=q, unit="nats")

    return Beyond(measure=measure, key="value", context=context, groups=groups, where=where, change=near(value),
                  runs=(value, value + 0.01), controls=dict.fromkeys(CONTROLS, near(0.01)),
                  more=dict.fromkeys(CONTROLS, near(value - 0.01)), p=q, q=q)  # fmt: skip


def edit(
    fitted: str, found: Mapping[str, tuple[float, float]], costs: tuple[float, float] = (1.0, 1.0), **more: Any
) -> Compared:
    """An edit fitted to one group: group → what it changed there and q; perplexity rises by `costs` (edit, control)."""
    numbers = [number((g,), "own" if g == fitted else "other", *found.get(g, (0.0, 0.9))) for g in GROUPS]
    paid = number((), "general", costs[0], math.nan, "perplexity", "prose")
    less = costs[0] - costs[1]
    apart = Estimate(value=less, low=less - 0.01 * abs(less), high=less + 0.01 * abs(less))
    paid = paid.model_copy(update={"controls": dict.fromkeys(CONTROLS, Estimate(value=costs[1])),
                                   "more": dict.fromkeys(CONTROLS, apart)})  # fmt: skip
    given: dict[str, Any] = {
        "model": MODEL, "method": "unlearning", "settings": {"groups": [fitted], "steps": 5},
        "varied": {"groups": [fitted]}, "fitted_on": ("purchase",), "seeds": (0, 1), "cells": ("a", "b"),
        "controls": dict.fromkeys(CONTROLS, ("c", "d")), "numbers": (*numbers, paid),
    }  # fmt: skip
    return Compared(**(given | more))


def edits(found: Mapping[str, Mapping[str, tuple[float, float]]] | None = None, **more: Any) -> Sequence[Compared]:
    """One edit for each group."""
    return [edit(group, (found or {}).get(group, {}), **more) for group in GROUPS]
