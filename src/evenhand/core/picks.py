"""Which option each case's answer is, whether options were scored or answers were generated."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from evenhand.core.readout import Readout


def picks(readout: Readout) -> Float[Tensor, "case opt"]:
    """Return how the answer of each case falls on its options, as shares (float64).

    Generated answers: the share of all answers that picks each option, so that a row sums to the valid share. Scored
    options: 1 for the likeliest, which those that tie share evenly, so that their order cannot matter. NaN where no
    option has a score.
    """
    if "picked" in readout.arrays:
        return readout.arrays["picked"].double()
    logp = readout.arrays["logp"].double()
    best = (logp == logp.nan_to_num(nan=-math.inf).amax(dim=1, keepdim=True)).double()
    return best / best.sum(dim=1, keepdim=True)
