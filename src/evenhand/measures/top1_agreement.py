"""How often the edited model finds the same next token likeliest as the unedited one, on running text."""

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
class Top1Agreement(Share):
    """Share of tokens in whose place the unedited model's likeliest token is the edited model's too.

    The readout must have been made beside the unedited model (array `agree`); undefined otherwise. It hardly moves
    where KL does (a likely token stays the likeliest while its probability halves) and moves without it between two
    equally likely ones, so read both.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("sentence",)
    beside_unedited: ClassVar[bool] = True
    neutral: ClassVar[float] = 1.0

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return the number of tokens of each text, and of those agreed on."""
        tokens = readout.arrays["tokens"].double()
        agree = readout.arrays.get("agree", torch.full_like(tokens, torch.nan)).double()
        return torch.stack([tokens, agree], dim=1).masked_fill((tokens <= 0)[:, None], torch.nan)
