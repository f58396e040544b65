"""Share of texts whose next word the model would write itself, token by token, without being offered any options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.level import Share
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class LastWordAccuracy(Share):
    """Share of cases where every token of the favourable option is the likeliest after all before it (LAMBADA).

    It is the greedy continuation, apart from ties, which count as right. Undefined for masked models, which write
    nothing, and for prompts that do not fit the context.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("choice",)

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return 1 and whether the option is the greedy continuation."""
        logp = readout.arrays["logp"].double()
        greedy = readout.arrays.get("greedy", torch.full_like(logp, torch.nan)).double()
        place = torch.tensor([[case.favourable or 0] for case in readout.cases], dtype=torch.long).reshape(-1, 1)
        named = torch.tensor([case.favourable is not None for case in readout.cases], dtype=torch.bool)
        hit = greedy.gather(1, place)[:, 0]
        return self.each(hit, ~readout.defined | ~named | hit.isnan())
