"""Share of texts whose next word the model would write itself, token by token, without being offered any options."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.level import OfFavourable, Share
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class LastWordAccuracy(Share, OfFavourable):
    """Share of cases where every token of the favourable option is the likeliest after all before it (LAMBADA).

    It is the greedy continuation, apart from ties, which count as right. Undefined for masked models, which write
    nothing, and for prompts that do not fit the context.
    """

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return 1 and whether the option is the greedy continuation."""
        unknown = torch.full_like(readout.arrays["logp"], torch.nan)
        return self.each(*self.picked(readout, readout.arrays.get("greedy", unknown)))
