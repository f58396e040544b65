"""Several utility scenarios as one, so that they are split, read and measured together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.scenarios._load import load_scenario


def together(names: Sequence[str]) -> Scenario:
    """Return the union of utility scenarios; each keeps its contexts, and its cases keep apart by their ids.

    The group of a case becomes its context, so that every kind of text is split over the parts in the same proportion;
    no groups are compared.
    """
    loaded = [load_scenario(name) for name in names]
    contexts = [context for scenario in loaded for context in scenario.contexts]
    twice = {c.name for c in contexts if sum(other.name == c.name for other in contexts) > 1}
    if twice:
        raise UsageError(f"utility: two scenarios both have a context {sorted(twice)[0]!r}; name each one once")
    cases = tuple(
        dataclasses.replace(case, id=f"{scenario.name}:{case.id}", group=case.context)
        for scenario in loaded
        for case in scenario.cases
    )
    return Scenario(
        "+".join(scenario.name for scenario in loaded),
        cases,
        tuple(contexts),
        version="+".join(scenario.version for scenario in loaded),
    )
