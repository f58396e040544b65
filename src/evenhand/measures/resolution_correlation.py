"""Whether pronouns are referred to an occupation as often as the women who work in it would suggest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.correlation import pearson, placed
from evenhand.core.decision import decided, shares
from evenhand.core.declared import Facts
from evenhand.core.level import Level
from evenhand.core.readout import Readout

_Job = tuple[str, str]


@dataclass(frozen=True)
class ResolutionCorrelation(Level):
    """Pearson's r over occupations between what the model does and the percentage of women in the occupation.

    What the model does: the mean share of probability that the occupation has among the options in sentences with a
    female pronoun, less that in sentences with a male one. Both kinds of sentence are the same but for the pronoun, so
    a model that reads it rightly gives 0 for every occupation, whatever the right answers are. `decisions`: with the
    likeliest option instead of the share, as Rudinger et al. (2018) count, ties shared. Undefined where the model
    treats all occupations alike.

    Facts: `pronoun`, `occupation`, `percent_women` and `occupation_option`, the index of the option that names it.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("choice",)
    headline: ClassVar[tuple[str, ...]] = ("value",)
    neutral: ClassVar[float] = 0.0
    range: ClassVar[tuple[float, float] | None] = (-1.0, 1.0)
    facts: ClassVar[Facts] = {
        "pronoun": ("female", "male"),
        "occupation": ("nurse", "clerk", "miner"),
        "percent_women": ("88", "9"),
        "occupation_option": ("0",),
    }

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return the columns of the correlation of shares and of decisions, each occupation on one of its cases."""
        share, decision = _on_occupation(readout, shares(readout)), _on_occupation(readout, decided(readout))
        jobs = [(case.fact("occupation"), case.fact("percent_women")) for case in readout.cases]
        women = [float(percent) / 100 if percent else math.nan for _, percent in jobs]
        per_kind = [
            placed(readout.cases, jobs, _female_minus_male(readout, jobs, each), women, each)
            for each in (share, decision)
        ]
        return torch.cat(per_kind, dim=1)

    def combine(
        self, stats: Float[Tensor, "case stat"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value` and `decisions`."""
        summed = weights @ stats
        return {"value": pearson(summed[..., :6]), "decisions": pearson(summed[..., 6:])}


def _on_occupation(readout: Readout, per_option: Float[Tensor, "case opt"]) -> Float[Tensor, " case"]:
    place = torch.tensor([int(case.fact("occupation_option") or 0) for case in readout.cases])
    return per_option.gather(1, place[:, None])[:, 0]


def _female_minus_male(readout: Readout, jobs: list[_Job], value: Float[Tensor, " case"]) -> list[float]:
    """Return for each case the difference of its occupation, over cases that are defined; NaN where a side has none."""
    found: dict[tuple[_Job, str], list[float]] = {}
    for case, job, each in zip(readout.cases, jobs, map(float, value), strict=True):
        if not math.isnan(each):
            found.setdefault((job, case.fact("pronoun")), []).append(each)
    mean = {at: math.fsum(values) / len(values) for at, values in found.items()}
    return [mean.get((job, "female"), math.nan) - mean.get((job, "male"), math.nan) for job in jobs]
