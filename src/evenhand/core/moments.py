"""Sums from which means, variances and group comparisons follow: the bookkeeping that measures share."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.readout import Readout


class Moments(NamedTuple):
    """Mass, mean and variance of the answers under each weighting of the cases; NaN where undefined."""

    mass: Float[Tensor, "*boot"]
    mean: Float[Tensor, "*boot"]
    variance: Float[Tensor, "*boot"]
    freedom: Float[Tensor, "*boot"]
    """Mass minus ddof."""


def sums(readout: Readout, value: Float[Tensor, " atom"], centre: Float[Tensor, " case"]) -> Float[Tensor, "case 5"]:
    """Return per case Σ mass, Σ ddof·mass, Σ x, Σ (x − centre) and Σ (x − centre)², NaN where undefined.

    The variance is taken about `centre`, one number per group of cases that are summed together: about 0 it would drown
    in rounding where values are large, and equal answers would not have variance 0.
    """
    from_centre = value.double() - centre[readout.row]
    mass = readout.sums(torch.ones_like(from_centre))
    columns = [mass, readout.ddof * mass, readout.sums(value), readout.sums(from_centre), readout.sums(from_centre**2)]
    undefined = ~readout.defined | (mass <= 0)
    return torch.stack(columns, dim=1).masked_fill(undefined[:, None], torch.nan)


def moments(summed: Float[Tensor, "*boot 5"]) -> Moments:
    """Return mass, mean and variance from weighted sums of the columns of `sums`."""
    mass, lost, total, first, second = summed.unbind(-1)
    freedom = mass - lost / mass
    spread = second - first**2 / mass
    # Rounding leaves a variance of the order of 1e-16 where all answers are equal.
    spread = torch.where(spread <= 1e-12 * second, 0.0, spread)
    return Moments(mass, total / mass, torch.where(freedom > 0, spread / freedom, torch.nan), freedom)


def by_side(readout: Readout, columns: Float[Tensor, "case stat"]) -> Float[Tensor, "case side_stat"]:
    """Return the columns behind two indicators, of the reference group and of the other; `compare` takes them apart."""
    if len(readout.groups) != 2:
        raise ValueError(f"a comparison needs two groups, not {readout.groups}; use `readout.between(a, b)`")
    side = readout.sides()
    return torch.cat([(side == 0).double()[:, None], (side == 1).double()[:, None], columns], dim=1)


def compare(
    stats: Float[Tensor, "case side_stat"], weights: Float[Tensor, "*boot case"]
) -> tuple[Float[Tensor, "*boot stat"], Float[Tensor, "*boot stat"]]:
    """Return the weighted sums of the columns for the reference group and for the other."""
    first, second = (stats[:, side] > 0 for side in (0, 1))
    return weights[..., first] @ stats[first, 2:], weights[..., second] @ stats[second, 2:]


def medians(readout: Readout, each_group: bool) -> Float[Tensor, " case"]:
    """Return for each case the median answer of its group, or of everyone: a centre that is itself an answer."""
    if not each_group:
        return torch.full((len(readout),), _median(readout), dtype=torch.float64)
    of = {group: _median(readout.between(group)) for group in readout.groups}
    return torch.tensor([of[case.group] for case in readout.cases], dtype=torch.float64)


def _median(readout: Readout) -> float:
    return readout.quantile(0.5) if len(readout.value) else 0.0
