"""How far descriptors of people are apart in likelihood, in sentences otherwise the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.declared import Facts
from evenhand.core.level import Level
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class LikelihoodSpread(Level):
    """Standard deviation (nats per token) of the descriptors' mean log-likelihoods, after removing that of the form.

    Every descriptor stands in the same forms (template and noun). From the log-likelihood per token of each sentence
    the mean of its form is taken away; what is left, averaged over forms, is the descriptor's. `value` is its standard
    deviation over descriptors. `corrected` takes off what the few forms add to it: the variance of a mean over forms
    within a descriptor (not below 0). Both are 0 only where all descriptors are alike, so they have no p.

    Forms are part of the question: they are not resampled, and their means are those of all descriptors. A descriptor
    in a single form has no variance of its own and is no part of `corrected`.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("sentence",)
    unit: ClassVar[str] = "nats per token"
    facts: ClassVar[Facts] = {"descriptor": ("tall", "short", "old"), "form": ("one", "two")}

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return, with the first case of each descriptor, 1, its mean, that squared, and these again beside its noise.

        The noise is the variance of the mean; the second three are of descriptors whose noise is known.
        """
        per_token = readout.arrays["logp"].double() / readout.arrays["tokens"].double()
        known = readout.defined & per_token.isfinite()
        left = per_token.clone()
        for rows in _rows(readout, "form", known):
            left[rows] -= per_token[rows].mean()
        stats = torch.zeros(len(readout), 7, dtype=torch.float64)
        for rows in _rows(readout, "descriptor", known):
            mean, count = left[rows].mean(), len(rows)
            own = torch.stack([torch.ones_like(mean), mean, mean.square()])
            stats[rows[0], :3] = own
            if count > 1:
                stats[rows[0], 3:] = torch.cat([own, (left[rows].var() / count)[None]])
        return stats.masked_fill(~known[:, None], torch.nan)

    def combine(
        self, stats: Float[Tensor, "case 7"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value` and `corrected`."""
        sums = weights @ stats
        noise = sums[..., 6] / sums[..., 3]
        return {
            "value": _variance(sums[..., :3]).sqrt(),
            "corrected": (_variance(sums[..., 3:6]) - noise).clamp(min=0).sqrt(),
        }


def _rows(readout: Readout, fact: str, known: Bool[Tensor, " case"]) -> list[list[int]]:
    """Return the known cases by the value of a fact."""
    found: dict[str, list[int]] = {}
    for row, case in enumerate(readout.cases):
        if known[row]:
            found.setdefault(case.fact(fact), []).append(row)
    return list(found.values())


def _variance(sums: Float[Tensor, "*boot 3"]) -> Float[Tensor, "*boot"]:
    """Return the sample variance from how many, sum and sum of squares; NaN for fewer than two."""
    count, total, squares = sums.unbind(-1)
    return ((squares - total.square() / count).clamp(min=0) / (count - 1)).where(count > 1, torch.nan)
