"""How much probability falls on the gendered words at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.declared import Facts
from evenhand.core.gendered import WORDS, leaning, log_sides
from evenhand.core.level import Share
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class GenderedMass(Share):
    """Mean of P(female) + P(male) over words: what is not there went to other continuations.

    An edit that empties both sides looks balanced and has only made the model speak of something else. A case whose sum
    exceeds 1 is undefined: an option begins another, or pseudo-likelihoods of several tokens are no probabilities.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("pair",)
    facts: ClassVar[Facts] = WORDS

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return 1 and the mass of each word."""
        mass = log_sides(readout).exp().sum(dim=1)
        return self.each(mass.clamp(max=1), mass.isnan() | (mass > 1 + 1e-4) | leaning(readout, "baseline"))
