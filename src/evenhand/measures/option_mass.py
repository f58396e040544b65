"""How much probability the model gives to the offered options at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.level import Share
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class OptionMass(Share):
    """Σ over the options of their probability after the prompt; the rest went to other answers.

    A model that gives its options little mass is not answering the question. A case whose sum exceeds 1 is undefined:
    one of its options begins another, or the model is masked and its pseudo-likelihoods are no probabilities.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("choice",)

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return 1 and the mass on the options."""
        logp = readout.arrays["logp"].double()
        mass = logp.exp().nansum(dim=1)
        undefined = ~readout.defined | logp.isnan().all(dim=1) | (mass > 1 + 1e-4)
        return self.each(mass.clamp(max=1), undefined)
