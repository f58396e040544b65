"""Gaps between the two groups, and distributions that have exactly the gap asked for."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from evenhand.core.errors import CannotRun
from evenhand.planted.outcomes import Rows

Table = dict[str, dict[str, float]]
"""Context → variation → gap."""


def gap_of(p: Float[Tensor, "case opt"], values: Float[Tensor, "case opt"], other: Bool[Tensor, " case"]) -> float:
    """Return (mean of the reference - mean of the other) / standard deviation (equal-weight pooling) of one variation.

    The answers of all cases of a group are pooled by their probability, as in the measure
    `standardised_mean_difference`; a choice counts 1 when it is favourable, else 0.
    """
    mean: list[Tensor] = []
    variance: list[Tensor] = []
    for side in (~other, other):
        mass, value = p[side].double(), values[side].double()
        average = (mass * value).sum() / mass.sum()
        mean.append(average)
        variance.append((mass * (value - average) ** 2).sum() / mass.sum())
    return float((mean[0] - mean[1]) / ((variance[0] + variance[1]) / 2).sqrt())


def gaps_of(rows: Rows, logp: Float[Tensor, "case opt"]) -> Table:
    """Return the gap of every variation of every context, from the log-probabilities of all answers of all rows."""
    table: Table = {}
    for context, variation in dict.fromkeys(zip(rows.context, rows.variation, strict=True)):
        index = rows.where(context, variation)
        p, values = logp[index].double().exp(), rows.values[index]
        table.setdefault(context, {})[variation] = gap_of(p, values, rows.side[index] == 1)
    return table


def averages(table: Table) -> dict[str, float]:
    """Return the mean gap over the variations of each context."""
    return {context: sum(row.values()) / len(row) for context, row in table.items()}


def planted_answers(rows: Rows, base: Float[Tensor, "case opt"], gaps: Table) -> Float[Tensor, "case opt"]:
    """Return the probabilities of the answers with these gaps in the contexts named.

    The base's own answers, tilted exponentially: up for one group, down for the other, by the same amount. The mass
    that a prompt gives to its answers stays what it was.
    """
    p = base.double().exp()
    mass = p.sum(-1, keepdim=True)
    p = p / mass
    target = p.clone()
    for context, variation in dict.fromkeys(zip(rows.context, rows.variation, strict=True)):
        if context in gaps:
            index = rows.where(context, variation)
            target[index] = _tilted(rows, index, p[index], gaps[context][variation])
    return (target * mass).float()


def _tilted(rows: Rows, index: list[int], p: Float[Tensor, "case opt"], gap: float) -> Float[Tensor, "case opt"]:
    values = rows.values[index].double()
    other = rows.side[index] == 1
    mean = (p * values).sum() / p.sum()
    spread = ((p * (values - mean) ** 2).sum() / p.sum()).sqrt()
    sign = torch.where(other, -1.0, 1.0)[:, None]

    def tilted(amount: float) -> Tensor:
        weight = p * (amount * sign * (values - mean) / spread).exp()
        return weight / weight.sum(-1, keepdim=True)

    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if gap_of(tilted(middle), values, other) < gap else (low, middle)
    found = tilted((low + high) / 2)
    if abs(gap_of(found, values, other) - gap) > 1e-3:
        raise CannotRun(
            f"a gap of {gap} cannot be planted in {rows.context[index[0]]!r}, {rows.variation[index[0]]!r}: its "
            "outcomes do not spread that far; ask for a smaller gap or give the outcomes a wider range"
        )
    return found
