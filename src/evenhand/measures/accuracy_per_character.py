"""Share of questions answered right when an option's log-likelihood is divided by its length in characters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from evenhand.core.case import Outcome
from evenhand.core.decision import likeliest, on_favourable
from evenhand.core.level import Share
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class AccuracyPerCharacter(Share):
    """Share of cases whose option with the highest log-likelihood per character is `favourable`; a tie by its share.

    What lm-eval calls `acc_norm`: characters are those of the option without the space in front of it. Long options
    are not punished as they are by `accuracy`; the two often differ by several points, so never compare one with the
    other.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("choice",)
    guesses: ClassVar[Mapping[str, float]] = {"value": math.nan}

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return 1 and whether the answer is right."""
        logp = readout.arrays["logp"].double()
        sizes = [[max(1, len(option.removeprefix(" "))) for option in case.options] for case in readout.cases]
        # The empty last row gives an empty readout a table too.
        rows = [torch.tensor(size, dtype=torch.float64) for size in [*sizes, [1] * logp.shape[1]]]
        length = pad_sequence(rows, batch_first=True, padding_value=1.0)[:-1]
        hit = on_favourable(readout, likeliest(logp / length))
        return self.each(hit, ~readout.defined | hit.isnan())
