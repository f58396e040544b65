"""How likely a model names a group where a sentence that says nothing against it has just come to its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from evenhand.core.level import FavourableLikelihood


@dataclass(frozen=True)
class IdentityLikelihood(FavourableLikelihood):
    """Mean log-likelihood of the favourable option, nats: of the group's name, after the sentence up to it.

    Made for `identity_words`, where the name is the only option. What counts is its change under an edit: −0.69 is a
    name half as likely as before. A name of several tokens counts as a whole. Masked models: pseudo-log-likelihood.
    """

    unit: ClassVar[str] = "nats"

    def combine(
        self, stats: Float[Tensor, "case 2"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value`, the mean."""
        return {"value": self.mean(stats, weights)}
