"""What is known of each option of a case: its log-likelihood, how many tokens that is over, and parts of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

Term = tuple[float, bool]
"""Log-likelihood of a token, and whether no other is likelier in its place."""


@dataclass(frozen=True, eq=False)
class OptionScores:
    """Of one case: float64, nats."""

    logp: Float[Tensor, " opt"]
    """Sum over the scored tokens; NaN where an option has none."""
    tokens: Float[Tensor, " opt"]
    parts: dict[str, Float[Tensor, " _opt"]] = field(default_factory=dict[str, Tensor])
    """Sums over some of the tokens and their numbers, by the names of `Readout.arrays`."""

    @classmethod
    def of(cls, terms: Sequence[Sequence[float]], parts: dict[str, Tensor] | None = None) -> OptionScores:
        """Return the scores of options from the log-likelihoods of their tokens."""
        sums = [sum(each) if each else float("nan") for each in terms]
        tokens = [float(len(each)) for each in terms]
        return cls(torch.tensor(sums, dtype=torch.float64), torch.tensor(tokens, dtype=torch.float64), parts or {})

    @classmethod
    def of_terms(cls, terms: Sequence[Sequence[Term]]) -> OptionScores:
        """Return the scores of options, and as part `greedy` whether greedy decoding would have said each (else 0)."""
        greedy = [float(all(top for _, top in each)) if each else float("nan") for each in terms]
        parts = {"greedy": torch.tensor(greedy, dtype=torch.float64)}
        return cls.of([[logp for logp, _ in each] for each in terms], parts)


def spread(
    places: Collection[int], scores: Sequence[Sequence[OptionScores]], options: Sequence[Sequence[str]]
) -> list[list[OptionScores]]:
    """Return [variant][case] these scores at the places of their cases; the options of the others have none (NaN)."""
    found = [dict(zip(places, few, strict=True)) for few in scores]
    return [[each[i] if i in each else OptionScores.of([()] * len(few)) for i, few in enumerate(options)]
            for each in found]  # fmt: skip
