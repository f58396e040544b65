"""Share of pairs whose first sentence the model finds likelier: the good one of a minimal pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.level import Share
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class PairAccuracy(Share):
    """Share of cases whose first sentence has the highest log-likelihood, summed over tokens; a tie counts one half.

    Guessing gives 0.5. Masked models are judged by their pseudo-log-likelihood.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("pair",)
    guesses: ClassVar[Mapping[str, float]] = {"value": 0.5}

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return 1 and whether the first sentence is the likelier one."""
        logp = readout.arrays["logp"].double()
        best = logp == logp.nan_to_num(nan=-torch.inf).amax(dim=1, keepdim=True)
        return self.each(best[:, 0].double() / best.sum(dim=1), ~readout.defined | (best.sum(dim=1) == 0))
