"""Several utility scenarios as one, so that they are split, read and measured together."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.scenarios._load import load_scenario


def together(names: Sequence[str]) -> Scenario:
    """Return the union of utility scenarios; each keeps its contexts, and its cases keep apart by their ids.

    A context or cluster that several have is called by its scenario too ("crows_pairs: gender"). The group of a case
    becomes its context, so that every kind of text is split over the parts in the same proportion; no groups are
    compared. Raises UsageError for a scenario that is there twice.
    """
    loaded = [load_scenario(name) for name in names]
    if twice := [name for name, n in Counter(scenario.name for scenario in loaded).items() if n > 1]:
        raise UsageError(f"utility: {twice[0]!r} is there twice; name each scenario once")
    shared = Counter(context.name for scenario in loaded for context in scenario.contexts)
    clusters = Counter(name for scenario in loaded for name in {case.cluster for case in scenario.cases})

    def called(scenario: Scenario, name: str, known: Counter[str]) -> str:
        return f"{scenario.name}: {name}" if name and known[name] > 1 else name

    contexts = [
        dataclasses.replace(context, name=called(scenario, context.name, shared))
        for scenario in loaded
        for context in scenario.contexts
    ]
    cases = tuple(
        dataclasses.replace(case, id=f"{scenario.name}:{case.id}", context=where, group=where,
                            cluster=called(scenario, case.cluster, clusters))
        for scenario in loaded
        for case in scenario.cases
        for where in (called(scenario, case.context, shared),)
    )  # fmt: skip
    return Scenario(
        "+".join(scenario.name for scenario in loaded),
        cases,
        tuple(contexts),
        version="+".join(scenario.version for scenario in loaded),
    )
