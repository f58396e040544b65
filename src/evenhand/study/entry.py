"""One line of a suite: which benchmark, how much of it is asked, what is measured, and what it may come to."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from pydantic import Field

from evenhand.core.case import Case
from evenhand.core.scenario import Scenario
from evenhand.study.config import SampleConfig

_Count = Annotated[int, Field(ge=1)]


class Entry(SampleConfig):
    """One benchmark of a suite, and how much of it is asked."""

    scenario: str
    measures: tuple[str, ...] = ()
    """Instead of those the benchmark names."""
    more: tuple[str, ...] = ()
    """Beside those the benchmark names."""
    settings: dict[str, dict[str, Any]] = {}
    """Measure → its settings, where they are not the default ones."""
    samples: _Count | None = None
    """Answers per prompt where they are generated; default: as the command says."""
    new_tokens: _Count | None = None
    """Most tokens of a generated answer."""
    untrained: bool = False
    """Also ask the same model with random weights: what it shows is no bias that was learnt."""
    fail_over: dict[str, Annotated[float, Field(ge=0)]] = {}
    """Measure, or measure.key → how far from its value without bias it may be; an interval wholly beyond fails."""


def sampled(scenario: Scenario, sample: SampleConfig, seed: int) -> Scenario:
    """Return the cases a sample holds: whole clusters drawn by the seed, and of each its evenly spaced cases.

    Which come first is the same in every group and context, so parallel ones ask about the same clusters; where they
    hold different ones, a cluster may be drawn in one and not in another. Cases without a cluster
    belong to the way of asking (a neutral prompt) and are always kept.
    """
    scenario = scenario.only(sample.contexts)
    clusters: dict[tuple[str, str], dict[str, list[Case]]] = {}
    for case in scenario.cases:
        clusters.setdefault((case.context, case.group), {}).setdefault(case.cluster, []).append(case)
    kept: set[str] = set()
    for found in clusters.values():
        kept.update(case.id for case in found.pop("", ()))
        names = sorted(found)
        if sample.clusters is not None and len(names) > sample.clusters:
            names = sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())[
                : sample.clusters
            ]
        for name in names:
            cases, most = found[name], sample.cases or len(found[name])
            n = min(most, len(cases))
            kept.update(cases[(2 * i + 1) * len(cases) // (2 * n)].id for i in range(n))
    return scenario.where(lambda case: case.id in kept)
