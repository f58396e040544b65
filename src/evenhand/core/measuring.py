"""The one function that turns readouts into estimates with intervals, and the replicates behind it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from evenhand.core.bootstrap import Bootstrap, interval, p_value, smallest_stratum
from evenhand.core.case import Case
from evenhand.core.declared import distances_of, facts_of, neutral_of, unit_of
from evenhand.core.errors import UsageError
from evenhand.core.estimate import Estimate, is_p
from evenhand.core.measure import Measure, Subject
from evenhand.core.readout import Readout
from evenhand.core.record import Row

Sides = tuple[Subject, ...]
"""A subject alone, for a level; or a subject and the one it is set against, for a paired difference."""


@dataclass(frozen=True)
class Drawn:
    """A number as it is (index 0) and in every replicate, and the cases it rests on."""

    values: Float[Tensor, " point_and_boot"]
    cases: tuple[Case, ...]


def measure(
    measures: Mapping[str, Measure], subject: Subject, bootstrap: Bootstrap, against: Subject | None = None
) -> Iterator[Row]:
    """Yield a row for each measure × comparison × context × key × variation.

    With `against`, rows are paired differences subject − against under the same weights. The row with an empty
    variation is the mean over the defined variations of the context; a `negate` measure also gets the (mean) absolute
    value, as key `<key>.abs`. That, like a distance (a comparison whose swap is `same`), has no p unless it is a
    difference: noise alone keeps it above 0.
    """
    sides = (subject,) if against is None else paired(subject, against)
    parts = parts_of(sides)
    for name, each in measures.items():
        if subject.readout.kind not in each.kinds:
            continue
        there = readable(name, each, subject.readout.cases)
        for groups in comparisons(each, subject.readout.groups):
            for context in there:
                for key, variation, drawn in _series(each, parts[context], groups, bootstrap):
                    estimate = estimated(drawn, bootstrap, each, key, len(sides) > 1)
                    yield Row(measure=name, key=key, context=context, variation=variation, groups=groups,
                              subject=subject.name, against=against.name if against else "",
                              estimate=estimate)  # fmt: skip


def overall(
    each: Measure, readouts: Sequence[Readout], bootstrap: Bootstrap, key: str = "value.abs"
) -> Estimate:  # fmt: skip
    """Return the mean of a measure over contexts, variations and groups compared, with one interval.

    `value.abs` is the absolute value of a `negate` measure; a level is that of all groups together. One draw of names
    weighs every context alike. Variations without a defined value are left out; NaN when all are. On one context, and
    with two groups compared, this is that row of `measure`, interval included.
    """
    cases = [case for readout in readouts for case in readout.cases]
    drawn = [
        drawn_of(each, part, groups, cases, bootstrap)[key]
        for readout in readouts if readout.kind in each.kinds
        for variations in parts_of((Subject("", readout),)).values()
        for groups in comparisons(each, readout.groups)[: None if each.comparison else 1]
        for part in holding(variations, groups).values()
    ]  # fmt: skip
    if not drawn:
        return Estimate(value=math.nan, unit=each.unit, level=bootstrap.level)
    mean = mean_of(drawn)
    whole = Drawn(mean.values, tuple(dict.fromkeys(mean.cases)))  # the reference group stands in every comparison
    return estimated(whole, bootstrap, each, key, difference=False)


def point(each: Measure, readout: Readout, reference: Readout | None = None) -> dict[str, float]:
    """Return the values of a measure on one readout as it stands: one variation, no interval."""
    values, _ = _replicates(each, readout, reference, [torch.ones(1, len(readout), dtype=torch.float64)])
    return {key: float(value) for key, value in values.items()}


def paired(subject: Subject, against: Subject) -> Sides:
    """Return both sides of a difference; raises ValueError unless they are of the same cases in the same order."""
    if against.readout.cases != subject.readout.cases:
        raise ValueError("a difference needs the readouts of both models on the same cases in the same order")
    return subject, against


def readable(name: str, each: Measure, cases: Sequence[Case]) -> list[str]:
    """Return the contexts of which every case says what a measure reads; raises UsageError where there is none.

    Several benchmarks may be measured together, and a measure made for one of them is taken there.
    """
    lacking = {case.context: (case.id, few) for case in cases if (few := _missing(each, case))}
    contexts = dict.fromkeys(case.context for case in cases)
    if lacking and len(lacking) == len(contexts):
        case, facts = next(iter(lacking.values()))
        raise UsageError(
            f"measure {name!r} reads what case {case!r} does not say: {', '.join(facts)}; it is made for benchmarks "
            "whose cases have these facts"
        )
    return [context for context in contexts if context not in lacking]


def _missing(each: Measure, case: Case) -> list[str]:
    known = dict(case.facts)
    return [fact for fact in facts_of(each) if fact not in known]


def _recentred(values: Float[Tensor, " point_and_boot"], floor: float) -> Float[Tensor, " point_and_boot"]:
    """Move the replicates of an absolute value or a distance onto it: resampling adds noise, which makes it larger.

    Without this the interval around a gap of 0 never reached 0 in simulation; with it, in about seven cases of ten.
    """
    point_, replicates = values[:1], values[1:]
    return torch.cat([point_, (replicates - replicates.nanmean() + point_).clamp(min=floor)])


def comparisons(each: Measure, groups: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Pairs (reference, other) for a comparison; everyone together and each group alone for a level."""
    if each.comparison:
        return [(groups[0], other) for other in groups[1:]]
    return [groups, *((group,) for group in groups if len(groups) > 1)]


def parts_of(sides: Sides) -> dict[str, dict[str, Sides]]:
    """Return the sides on each variation of each context, in the order of the cases."""
    found: dict[str, dict[str, Sides]] = {}
    for at in dict.fromkeys((case.context, case.variation) for case in sides[0].readout.cases):
        part = tuple(side.where(lambda case, at=at: (case.context, case.variation) == at) for side in sides)
        found.setdefault(at[0], {})[at[1]] = part
    return found


def holding(variations: Mapping[str, Sides], groups: tuple[str, ...]) -> dict[str, Sides]:
    """Return the variations that ask about any of these groups."""
    wanted = set(groups)
    return {
        variation: sides
        for variation, sides in variations.items()
        if not groups or any(case.group in wanted for case in sides[0].readout.cases)
    }


def _series(
    each: Measure, variations: Mapping[str, Sides], groups: tuple[str, ...], bootstrap: Bootstrap
) -> Iterator[tuple[str, str, Drawn]]:
    """Yield (key, variation, numbers) of one context; the mean over its variations comes last, as variation ''.

    Names are drawn from all variations and groups together, so that one name weighs the same in every comparison.
    """
    among = [case for sides in variations.values() for case in sides[0].readout.cases]
    here = holding(variations, groups)
    tables = {variation: drawn_of(each, sides, groups, among, bootstrap) for variation, sides in here.items()}
    for key in next(iter(tables.values()), ()):
        if len(tables) > 1:
            yield from ((key, variation, table[key]) for variation, table in tables.items())
        yield key, "", mean_of([table[key] for table in tables.values()])


def drawn_of(
    each: Measure, sides: Sides, groups: tuple[str, ...], among: Sequence[Case], bootstrap: Bootstrap
) -> dict[str, Drawn]:
    """Numbers of one variation by key: of the one side, or the first side less the second."""
    cases = sides[0].between(groups).cases
    found = [
        _replicates(each, side.between(groups), side.reference, _weights(bootstrap, cases, among)) for side in sides
    ]
    present = torch.stack([p for _, p in found]).all(0)
    rests_on = tuple(case for i, case in enumerate(cases) if bool(present[i]))
    columns: dict[str, Drawn] = {}
    for key in found[0][0]:
        levels = [values[key] for values, _ in found]
        columns[key] = Drawn(_difference(levels), rests_on)
        if each.swap == "negate":
            columns[f"{key}.abs"] = Drawn(_difference([level.abs() for level in levels]), rests_on)
    return columns


def _replicates(
    each: Measure, readout: Readout, reference: Readout | None, weights: Iterable[Float[Tensor, "_ case"]]
) -> tuple[dict[str, Float[Tensor, " point_and_boot"]], Bool[Tensor, " case"]]:
    """Values of each key under all weights, and which cases are defined (the others get weight 0)."""
    stats = each.per_case(readout, reference).double()
    present = ~stats.isnan().any(dim=1)
    stats = stats.masked_fill(~present[:, None], 0.0)
    parts = [each.combine(stats, w * present) for w in weights]
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}, present


def _weights(bootstrap: Bootstrap, cases: Sequence[Case], among: Sequence[Case]) -> Iterator[Float[Tensor, "_ case"]]:
    """Ones, for the numbers as they are, then every replicate."""
    yield torch.ones(1, len(cases), dtype=torch.float64)
    yield from bootstrap.weights(cases, among)


def _difference(levels: Sequence[Float[Tensor, " n"]]) -> Float[Tensor, " n"]:
    return levels[0] - levels[1] if len(levels) > 1 else levels[0]


def mean_of(columns: Sequence[Drawn]) -> Drawn:
    """Mean over the variations that are defined for the data as they are; undefined when none is."""
    known = [column for column in columns if not math.isnan(float(column.values[0]))] or columns
    cases = tuple(case for column in known for case in column.cases)
    return Drawn(torch.stack([column.values for column in known]).mean(0), cases)


def estimated(drawn: Drawn, bootstrap: Bootstrap, each: Measure, key: str, difference: bool) -> Estimate:
    """Value, interval, p, and how much it rests on."""
    values, neutral = drawn.values, 0.0 if difference else neutral_of(each, key)
    if key.endswith(".abs") or key in distances_of(each) or (each.comparison and each.swap == "same"):
        values = _recentred(values, -math.inf if difference else 0.0)
        neutral = 0.0 if difference else math.nan
    value, replicates = float(values[0]), values[1:]
    low = high = p = math.nan
    if not math.isnan(value):
        clusters = smallest_stratum(drawn.cases)
        if not is_p(key):
            low, high = interval(replicates, clusters, bootstrap.level)
        p = p_value(replicates, neutral, clusters)
    distinct = len({(case.group, case.cluster) for case in drawn.cases})
    return Estimate(value=value, low=low, high=high, p=p, n=len(drawn.cases), n_clusters=distinct,
                    unit=unit_of(each, key), level=bootstrap.level)  # fmt: skip
