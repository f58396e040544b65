"""How answers are spread over the outcome, group by group, on edges that all versions of the model share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.readout import Readout
from evenhand.core.record import Distribution

BINS = 24


def distributions(subjects: Mapping[str, Sequence[Readout]]) -> Iterator[Distribution]:
    """Yield a histogram per context, variation, group and subject; `subjects` starts with the unedited model.

    Edges come from the pooled 1–99 % range of the unedited model's answers (few distinct values: one
    bin each; decisions: 0 and 1). A group without a valid answer has no histogram.
    """
    base = next(iter(subjects.values()))
    for kind, readout in enumerate(base):
        if readout.kind == "sentence" or len(readout.groups) < 2:
            continue
        for context, variation in dict.fromkeys((case.context, case.variation) for case in readout.cases):
            edges = _edges(_part(readout, context, variation))
            for name, readouts in subjects.items():
                here = _part(readouts[kind], context, variation)
                for group in readout.groups if len(edges) else ():
                    mass = _mass(here.between(group), edges)
                    if mass is not None:
                        yield Distribution(context=context, variation=variation, group=group, subject=name,
                                           edges=_floats(edges), mass=mass)  # fmt: skip


def _part(readout: Readout, context: str, variation: str) -> Readout:
    return readout.where(lambda case: case.context == context and case.variation == variation)


def _edges(base: Readout) -> Float[Tensor, " edge"]:
    """Bin edges for one variation; empty without an answer."""
    if base.kind in ("choice", "text"):
        return torch.tensor([-0.5, 0.5, 1.5], dtype=torch.float64)
    if not len(base.value):
        return torch.zeros(0, dtype=torch.float64)
    low, high = base.quantile(0.01), base.quantile(0.99)
    inner = base.value.double()
    distinct = torch.tensor(sorted({float(value) for value in inner if low <= value <= high}), dtype=torch.float64)
    if len(distinct) <= BINS:
        middles = (distinct[1:] + distinct[:-1]) / 2
        step = float((distinct[1:] - distinct[:-1]).min()) / 2 if len(distinct) > 1 else 0.5
        return torch.cat([distinct[:1] - step, middles, distinct[-1:] + step])
    return torch.linspace(low, high, BINS + 1, dtype=torch.float64)


def _mass(readout: Readout, edges: Float[Tensor, " edge"]) -> tuple[float, ...] | None:
    """Share of the valid mass in each bin; the first and last bins take what lies beyond. None without an answer."""
    weight = readout.mass.double()
    if not len(weight) or float(weight.sum()) <= 0:
        return None
    bins = torch.bucketize(readout.value.double(), edges[1:-1].contiguous(), right=True)
    mass = torch.zeros(len(edges) - 1, dtype=torch.float64).index_add(0, bins, weight)
    return _floats(mass / mass.sum())


def _floats(values: Float[Tensor, " n"]) -> tuple[float, ...]:
    return tuple(float(f"{float(value):.6g}") for value in values)
