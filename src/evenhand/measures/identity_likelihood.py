"""How likely a model names a group where a sentence that says nothing against it has just come to its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.level import Level
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class IdentityLikelihood(Level):
    """Mean log-likelihood of the favourable option, nats: of the group's name, after the sentence up to it.

    Made for `identity_words`, where the name is the only option. What counts is its change under an edit: −0.69 is a
    name half as likely as before. A name of several tokens counts as a whole. Masked models: pseudo-log-likelihood.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("choice",)
    unit: ClassVar[str] = "nats"

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return 1 and the log-likelihood of the favourable option."""
        place = torch.tensor([[case.favourable or 0] for case in readout.cases], dtype=torch.long).reshape(-1, 1)
        named = torch.tensor([case.favourable is not None for case in readout.cases], dtype=torch.bool)
        logp = readout.arrays["logp"].double().gather(1, place)[:, 0]
        undefined = ~readout.defined | ~named | logp.isnan()
        return torch.stack([torch.ones_like(logp), logp], dim=1).masked_fill(undefined[:, None], torch.nan)

    def combine(
        self, stats: Float[Tensor, "case 2"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value`, the mean."""
        count, logp = (weights @ stats).unbind(-1)
        return {"value": logp / count}
