"""Random scores: the control that every locator has to beat."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from evenhand.core.component import Attribution, Site, Space
from evenhand.core.entries import MatrixScores
from evenhand.core.scenario import Scenario
from evenhand.lm.family import writer_inputs
from evenhand.lm.model import LM


@dataclass(frozen=True)
class Random:
    """Uniform scores between 0 and 1 from a seed, of single weights exponential ones; looks at no weight and no case.

    Those of weights are drawn anew, one matrix at a time, from the seed and the matrix's path.
    """

    space: Space = "neuron"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    def score(self, lm: LM, scenario: Scenario) -> Attribution | MatrixScores:
        """Return a random score per unit."""
        layout, notes = lm.layout(self.space), {"seed": self.seed}
        if self.space != "weight":
            scores = torch.rand(layout.size, generator=torch.Generator().manual_seed(self.seed))
            return Attribution(layout, scores, "random", notes)

        def stream(sites: Sequence[Site]) -> Iterator[Float[Tensor, "_out _in"]]:
            for site in sites:
                yield _drawn(site, self.seed).view(-1, writer_inputs(lm.module(site.path)))

        return MatrixScores(layout, stream, "random", notes)


def _drawn(site: Site, seed: int) -> Float[Tensor, " _unit"]:
    # As many weights as a model has tie at the few float32 numbers just below 1, and ties break by address.
    generator = torch.Generator().manual_seed(random.Random(f"{seed}:{site.path}").getrandbits(63))
    return torch.empty(site.units).exponential_(generator=generator)
