"""Which option a model finds likeliest, and whether that is the one it should be."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from evenhand.core.readout import Readout


def likeliest_is_right(
    readout: Readout, score: Float[Tensor, "case opt"]
) -> tuple[Float[Tensor, " case"], Bool[Tensor, " case"]]:
    """Return for each case the share of its favourable option among those with the highest score, and where undefined.

    A tie counts by its share, so the order of options cannot matter. NaN marks options that are not there; a case
    without a favourable option or without any score is undefined.
    """
    right = torch.tensor([math.nan if case.favourable is None else case.favourable for case in readout.cases]).double()
    best = score == score.nan_to_num(nan=-math.inf).amax(dim=1, keepdim=True)
    hit = best.gather(1, right.nan_to_num().long()[:, None])[:, 0].double() / best.sum(dim=1)
    return hit, ~readout.defined | right.isnan() | (best.sum(dim=1) == 0)
