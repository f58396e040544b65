"""What set differences are taken of: the variations of a scenario, and in each the groups to prune and to protect."""

from __future__ import annotations

from typing import Literal

from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.objective import cells

Combine = Literal["intersection", "vote", "pooled"]
Prune = Literal["minority", "majority"]


def parts_of(bias: Scenario, combine: Combine) -> list[Scenario]:
    """Return the parts that have a set each: every variation of every context, or all of them as one (`pooled`).

    Raises UsageError unless every variation has the reference group and another one.
    """
    variations = list(cells(bias))
    return [bias] if combine == "pooled" else variations


def votes_needed(combine: Combine, votes: int, parts: int) -> int:
    """Return in how many of the parts' sets a unit must be; 0 votes asked for are a majority of them."""
    need = {"pooled": 1, "intersection": parts, "vote": votes or parts // 2 + 1}[combine]
    if not 1 <= need <= parts:
        raise UsageError(f"{need} votes asked for, there are {parts} variations")
    return need


def by_group(part: Scenario) -> dict[str, Scenario]:
    """Return the cases of each group, the reference first."""
    groups = dict.fromkeys([part.groups[0], *(case.group for case in part.cases)])
    return {group: part.where(lambda case, g=group: case.group == g) for group in groups}


def sides(part: Scenario, prune: Prune) -> list[tuple[str, str]]:
    """Return for each group beside the reference (the majority) which is pruned and which is protected."""
    reference, *others = by_group(part)
    return [(other, reference) if prune == "minority" else (reference, other) for other in others]
