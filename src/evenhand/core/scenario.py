"""A named, versioned, fingerprinted set of cases: one use case, or several."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from evenhand.core.case import Case, Outcome
from evenhand.core.errors import UsageError, nearest

Direction = Literal["high", "low"]
Part = Literal["fit", "choose", "report"]
PARTS: tuple[Part, ...] = ("fit", "choose", "report")


@dataclass(frozen=True, slots=True)
class Context:
    """One use case inside a scenario: what is answered there and which way is favourable to the person."""

    name: str
    outcome: Outcome
    favourable: Direction = "high"
    unit: str = ""
    favourable_words: tuple[str, ...] = ()
    unfavourable_words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """Cases with their contexts; the first of `groups` is the reference that the others are compared with."""

    name: str
    cases: tuple[Case, ...]
    contexts: tuple[Context, ...]
    groups: tuple[str, ...] = ()
    version: str = "1"
    licence: str = ""
    citation: str = ""
    measures: tuple[str, ...] = ()
    """By name, the measures a benchmark is scored with, its main one first; empty: those of the study or audit."""
    pooled: bool = True
    """Whether its contexts may be read as one; not where they are conditions or tests of different things."""
    masked_only: str = ""
    """Why only a masked model can be asked, and what to ask others; empty: any model that gives its outcomes."""
    source: str = field(default="", compare=False)
    """Where it was read from; not part of the fingerprint."""

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 (hex, 16 characters) over everything that can change a measured number."""
        data = dataclasses.asdict(self)
        for told in ("source", "licence", "citation", "measures", "pooled", "masked_only"):
            del data[told]
        for case in data["cases"]:  # absent as before these fields were known, so that fingerprints hold
            for name in ("facts", "spans", "ending", "flaw"):
                if not case[name]:
                    del case[name]
        text = json.dumps(data, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def context(self, name: str) -> Context:
        """Return the context of this name, or raise naming the nearest one."""
        for context in self.contexts:
            if context.name == name:
                return context
        known = [context.name for context in self.contexts]
        raise UsageError(
            f"scenario {self.name!r} has no context {name!r}{nearest(name, known)} (it has: {', '.join(known)})"
        )

    @property
    def running_texts(self) -> tuple[str, ...]:
        """The texts to be read as a whole: the prompts of contexts whose outcome is a sentence."""
        running = {context.name for context in self.contexts if context.outcome == "sentence"}
        return tuple(case.prompt for case in self.cases if case.context in running)

    def variations(self, context: str) -> tuple[str, ...]:
        """Return the variations of a context, in the order they were written."""
        return tuple(dict.fromkeys(case.variation for case in self.cases if case.context == context))

    def where(self, keep: Callable[[Case], bool]) -> Scenario:
        """Return the scenario with only the cases for which `keep` is true (contexts left empty are dropped)."""
        cases = tuple(case for case in self.cases if keep(case))
        used = {case.context for case in cases}
        return dataclasses.replace(
            self, cases=cases, contexts=tuple(context for context in self.contexts if context.name in used)
        )

    def only(self, contexts: Iterable[str] = (), variations: Iterable[str] = ()) -> Scenario:
        """Return the cases of these contexts and these variations; empty means all. Unknown names raise."""
        chosen, varied = set(contexts), set(variations)
        for name in chosen:
            self.context(name)
        known = {case.variation for case in self.cases}
        for name in varied - known:
            raise UsageError(f"scenario {self.name!r} has no variation {name!r}{nearest(name, known)}")
        return self.where(
            lambda case: (not chosen or case.context in chosen) and (not varied or case.variation in varied)
        )

    def part(
        self,
        part: Part,
        seed: int = 0,
        shares: Sequence[int | float] = (1, 1, 1),
        by: Literal["name", "variation"] = "name",
    ) -> Scenario:
        """Return one of three disjoint parts of the cases, split by name or by variation.

        By name: clusters are shuffled by `seed` inside their group and dealt out in proportion to `shares` (fit,
        choose, report), so scores, the number of units and the reported numbers never see the same name. By
        variation: the same with the variations of each context.
        """
        if by == "variation":
            varied = split_variations(self, seed, shares)
            return self.where(lambda case: varied[case.context, case.variation] == part)
        place = split_clusters(self, seed, shares)
        return self.where(lambda case: place[case.group, case.cluster] == part)


def split_clusters(
    scenario: Scenario, seed: int, shares: Sequence[int | float] = (1, 1, 1)
) -> dict[tuple[str, str], Part]:
    """Return for each (group, cluster) the part it belongs to; raises when a group is too small for three parts.

    A cluster that stands in several groups (a profession asked about each gender) is in the same part in all of them.
    """
    stands: dict[str, list[str]] = {}
    for group in dict.fromkeys(case.group for case in scenario.cases):
        for cluster in dict.fromkeys(case.cluster for case in scenario.cases if case.group == group):
            stands.setdefault(cluster, []).append(group)
    place: dict[tuple[str, str], Part] = {}
    for groups in dict.fromkeys(tuple(sorted(each)) for each in stands.values()):
        clusters = sorted(cluster for cluster, each in stands.items() if tuple(sorted(each)) == groups)
        named = "+".join(groups)
        what = f"scenario {scenario.name!r}, group {named!r}: {len(clusters)} name(s)"
        for cluster, part in _deal(clusters, f"{seed}:{named}", shares, what).items():
            place.update({(group, cluster): part for group in groups})
    return place


def split_variations(
    scenario: Scenario, seed: int, shares: Sequence[int | float] = (1, 1, 1)
) -> dict[tuple[str, str], Part]:
    """Return for each (context, variation) the part it belongs to; raises when a context has too few variations."""
    place: dict[tuple[str, str], Part] = {}
    for context in scenario.contexts:
        variations = sorted(scenario.variations(context.name))
        what = f"scenario {scenario.name!r}, context {context.name!r}: {len(variations)} variation(s)"
        for variation, part in _deal(variations, f"{seed}:variations:{context.name}", shares, what).items():
            place[context.name, variation] = part
    return place


def _deal(things: list[str], seed: str, shares: Sequence[int | float], what: str) -> dict[str, Part]:
    """Shuffle and deal out; `what` begins the error when there are fewer things than parts."""
    if len(shares) != len(PARTS) or min(shares) < 0 or not sum(shares):
        raise UsageError(f"shares of {', '.join(PARTS)} must be three numbers, 0 or more, not all 0; found {shares}")
    wanted = [part for part, share in zip(PARTS, shares, strict=True) if share > 0]
    if len(things) < len(wanted):
        raise UsageError(
            f"{what} cannot be split into {', '.join(wanted)}; give at least {len(wanted)}, better 24 names per group"
        )
    random.Random(seed).shuffle(things)
    edges = _edges(len(things), shares)
    return {thing: PARTS[next(i for i, edge in enumerate(edges) if n < edge)] for n, thing in enumerate(things)}


def _edges(n: int, shares: Sequence[int | float]) -> list[int]:
    """Cumulative part sizes summing to `n`; every part with a share gets at least one cluster."""
    total, sizes = sum(shares), [0, 0, 0]
    for i, share in enumerate(shares):
        sizes[i] = max(int(share > 0), int(n * share / total))
    leftover = n - sum(sizes)
    order = sorted((i for i in range(3) if shares[i] > 0), key=lambda i: -shares[i])
    step = 1 if leftover > 0 else -1
    for k in range(abs(leftover)):
        sizes[order[k % len(order)]] += step
    return [sum(sizes[: i + 1]) for i in range(3)]
