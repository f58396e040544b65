"""Which option each case's answer is: the likeliest of those scored, or what generated answers picked."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.readout import Readout


def likeliest(score: Float[Tensor, "case opt"]) -> Float[Tensor, "case opt"]:
    """Return 1 for the option with the highest score of each case; those that tie share it, so order cannot matter.

    NaN marks options that are not there; a row without any score is NaN.
    """
    best = (score == score.nan_to_num(nan=-math.inf).amax(dim=1, keepdim=True)).double()
    return best / best.sum(dim=1, keepdim=True)


def picks(readout: Readout) -> Float[Tensor, "case opt"]:
    """Return how the answer of each case falls on its options, as shares (float64).

    Generated answers: the share of all answers that picks each option, so that a row sums to the valid share. Scored
    options: the likeliest. NaN where no option has a score.
    """
    if "picked" in readout.arrays:
        return readout.arrays["picked"].double()
    return likeliest(readout.arrays["logp"].double())


def decided(readout: Readout) -> Float[Tensor, "case opt"]:
    """Return `picks`; rows are NaN where the case is undefined."""
    return picks(readout).masked_fill(_undefined(readout, _logp(readout)), torch.nan)


def shares(readout: Readout) -> Float[Tensor, "case opt"]:
    """Return p(option) / Σ p(options) of each case; rows are NaN where the case is undefined."""
    logp = _logp(readout)
    return logp.softmax(dim=1).masked_fill(_undefined(readout, logp), torch.nan)


def on_favourable(readout: Readout, per_option: Float[Tensor, "case opt"]) -> Float[Tensor, " case"]:
    """Return what stands at the favourable (right) option of each case; NaN where a case names none."""
    right = torch.tensor([math.nan if case.favourable is None else case.favourable for case in readout.cases]).double()
    found = per_option.gather(1, right.nan_to_num().long()[:, None])[:, 0]
    return found.masked_fill(right.isnan(), torch.nan)


def _logp(readout: Readout) -> Float[Tensor, "case opt"]:
    logp = readout.arrays["logp"].double()
    return torch.where(logp.isnan(), -math.inf, logp)


def _undefined(readout: Readout, logp: Float[Tensor, "case opt"]) -> Tensor:
    return (~readout.defined | ~logp.amax(dim=1).isfinite())[:, None]
