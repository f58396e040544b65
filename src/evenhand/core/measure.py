"""The contract of a measure, and the one function that turns readouts into estimates with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.bootstrap import Bootstrap, interval, p_value, smallest_stratum
from evenhand.core.case import Outcome
from evenhand.core.estimate import Estimate
from evenhand.core.readout import Readout
from evenhand.core.record import Row

Swap = Literal["negate", "reciprocal", "same"]


class Measure(Protocol):
    """Numbers in, numbers out: never sees a model.

    Laws: the neutral value on a symmetric toy; the ends of `range` on rigged ones; NaN without cases; what `swap` says
    when the two groups change places; `combine` is linear bookkeeping over `weights @ stats` followed by a formula, so
    weights of ones give the point estimate and integer weights equal explicit resampling.
    """

    kinds: tuple[Outcome, ...]
    """Outcomes it is defined for."""
    comparison: bool
    """True: compares exactly two groups (`readout.groups`). False: describes whatever cases it is given."""
    neutral: float
    """Value that means "no difference"; NaN for a level that has no neutral value."""
    range: tuple[float, float] | None
    swap: Swap
    unit: str

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return float64 statistics of each case; a row with NaN is an undefined case and is left out.

        `reference` is the readout of the unedited model, for measures that need its limits (inliers).
        """
        ...

    def combine(
        self, stats: Float[Tensor, "case stat"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return named values for each weighting of the cases; NaN where undefined."""
        ...


@dataclass(frozen=True)
class Subject:
    """A readout to be measured and, for measures and differences that need it, the unedited model's."""

    name: str
    readout: Readout
    base: Readout | None = None


def measure(
    measures: Mapping[str, Measure], subject: Subject, bootstrap: Bootstrap, change: bool = False
) -> Iterator[Row]:
    """Yield a row for each measure × context × variation × comparison.

    With `change`, rows are paired differences subject − base under the same weights. The row with an empty variation is
    the mean over the variations of the context; a `negate` measure also gets the mean absolute value there, key `abs`.
    """
    for name, each in measures.items():
        if subject.readout.kind not in each.kinds:
            continue
        for groups in _comparisons(each, subject.readout.groups):
            for context in dict.fromkeys(case.context for case in subject.readout.cases):
                yield from _context_rows(name, each, _narrow(subject, groups, context), bootstrap, change)


def _comparisons(measure_: Measure, groups: Sequence[str]) -> list[tuple[str, ...]]:
    """Pairs (reference, other) for a comparison; everyone together and each group alone for a level."""
    if measure_.comparison:
        return [(groups[0], other) for other in groups[1:]]
    alone = [(group,) for group in groups] if len(groups) > 1 else []
    return [tuple(groups), *alone]


def _narrow(subject: Subject, groups: tuple[str, ...], context: str) -> Subject:
    def cut(readout: Readout) -> Readout:
        part = readout.where(lambda case: case.context == context)
        return part.between(*groups) if groups else part

    return Subject(subject.name, cut(subject.readout), cut(subject.base) if subject.base else None)


def _context_rows(name: str, each: Measure, subject: Subject, bootstrap: Bootstrap, change: bool) -> Iterator[Row]:
    """Rows of one context: every variation, then their mean (signed, and absolute where the sign can cancel)."""
    readout = subject.readout
    if not len(readout):
        return
    variations = list(dict.fromkeys(case.variation for case in readout.cases))
    tables = {v: _values(each, _variation(subject, v), readout, bootstrap, change) for v in variations}
    clusters = smallest_stratum(readout.cases)
    context = readout.cases[0].context
    for key in next(iter(tables.values())):
        columns = [tables[v][key] for v in variations if key in tables[v]]
        series: dict[tuple[str, str], Float[Tensor, " point_and_boot"]] = {}
        for v, column in zip(variations, columns, strict=False):
            series[v, key] = column[-1]
        series["", key] = _mean([column[-1] for column in columns])
        if each.swap == "negate":
            absolute = [column[0].abs() - (column[1].abs() if change else 0.0) for column in columns]
            series["", f"{key}.abs"] = _mean(absolute)
        for (variation, row_key), values in series.items():
            if variation and len(variations) == 1:
                continue
            neutral = 0.0 if change or row_key.endswith(".abs") else each.neutral
            n = sum(case.variation == variation for case in readout.cases) if variation else len(readout)
            estimate = _estimate(values, bootstrap, clusters, neutral).model_copy(
                update={"n": n, "unit": each.unit, "n_clusters": len({(c.group, c.cluster) for c in readout.cases})}
            )
            yield Row(measure=name, key=row_key, context=context, variation=variation, groups=readout.groups,
                      subject=subject.name, change=change, estimate=estimate)  # fmt: skip


def _variation(subject: Subject, variation: str) -> Subject:
    def cut(readout: Readout) -> Readout:
        return readout.where(lambda case: case.variation == variation)

    return Subject(subject.name, cut(subject.readout), cut(subject.base) if subject.base else None)


def _values(
    each: Measure, subject: Subject, drawn_over: Readout, bootstrap: Bootstrap, change: bool
) -> dict[str, list[Float[Tensor, " point_and_boot"]]]:
    """Per key: [subject], or with `change` [subject, base, subject − base]; index 0 of each is the point estimate.

    Weights are drawn over `drawn_over`, so that one name weighs the same in every variation.
    """
    readouts = [subject.readout]
    if change:
        if subject.base is None:
            raise ValueError("a change needs the base model's readout")
        readouts.append(subject.base)
    columns: list[dict[str, list[Tensor]]] = []
    keep = torch.tensor([case.variation == subject.readout.cases[0].variation for case in drawn_over.cases])
    for readout in readouts:
        stats = each.per_case(readout, subject.base).double()
        undefined = stats.isnan().any(dim=1)
        stats = stats.masked_fill(undefined[:, None], 0.0)
        present = (~undefined).double()
        parts: dict[str, list[Tensor]] = {}
        chunks = [torch.ones(1, len(drawn_over), dtype=torch.float64), *bootstrap.weights(drawn_over.cases)]
        for weights in chunks:
            for key, value in each.combine(stats, weights[:, keep] * present).items():
                parts.setdefault(key, []).append(value)
        columns.append(parts)
    table = {key: [torch.cat(part[key]) for part in columns if key in part] for key in columns[0]}
    return {key: [*c, c[0] - c[1]] if change else c for key, c in table.items()}


def _mean(columns: Sequence[Float[Tensor, " boot"]]) -> Float[Tensor, " boot"]:
    """Mean over the variations that are defined for the data as they are; NaN when none is."""
    known = [column for column in columns if not math.isnan(float(column[0]))]
    return torch.stack(known).mean(0) if known else columns[0]


def _estimate(
    values: Float[Tensor, " point_and_boot"], bootstrap: Bootstrap, clusters: int, neutral: float
) -> Estimate:
    """Value, interval and p from a point estimate followed by its replicates."""
    point, replicates = float(values[0]), values[1:]
    if math.isnan(point):
        return Estimate(value=math.nan)
    low, high = interval(replicates, clusters, bootstrap.level)
    p = math.nan if math.isnan(neutral) or math.isnan(low) else p_value(replicates, neutral)
    return Estimate(value=point, low=low, high=high, level=bootstrap.level, p=p)
