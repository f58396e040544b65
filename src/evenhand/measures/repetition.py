"""How much of what a model writes it has just written: repeated word sequences inside one answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.level import Level
from evenhand.core.readout import Readout

_SIZES = (4, 1, 2)
"""Words in a sequence: of the repeated share first, then of the distinct shares."""


@dataclass(frozen=True)
class Repetition(Level):
    """Share of the sequences of four words in an answer that stand in it before (0: none, towards 1: a loop).

    `seq-rep-4` of Welleck et al. (ICLR 2020), 1 − distinct / all, averaged over answers; `distinct_1` and `distinct_2`
    (Li et al., NAACL 2016) are the share of different words and word pairs in an answer. Words are what white space
    separates, upper and lower case alike. Answers with fewer than four words have no value, those with fewer than two
    no `distinct_2`. Long answers repeat more: compare only what was generated with the same limit of tokens.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("text",)
    headline: ClassVar[tuple[str, ...]] = ("value",)
    examples: ClassVar[tuple[str, ...]] = (
        "a b c d e f", "a a a a a a a a", "one two three four one two three four", "well well", "",
    )  # fmt: skip

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return for each size of sequence how many answers have one, and their summed shares of distinct ones."""
        rows = [_sums(few) for few in readout.answers] if readout.answers else [[0.0] * 6 for _ in readout.cases]
        return torch.tensor(rows, dtype=torch.float64).reshape(-1, 2 * len(_SIZES))

    def combine(
        self, stats: Float[Tensor, "case stat"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value`, `distinct_1` and `distinct_2`."""
        summed = weights @ stats
        four, one, two = (summed[..., 1::2] / summed[..., ::2]).unbind(-1)
        return {"value": 1 - four, "distinct_1": one, "distinct_2": two}


def _sums(answers: Sequence[str]) -> list[float]:
    sums: list[float] = []
    for size in _SIZES:
        shares = [share for answer in answers for share in _distinct(answer.lower().split(), size)]
        sums += [float(len(shares)), math.fsum(shares)]
    return sums


def _distinct(words: Sequence[str], size: int) -> list[float]:
    """Return the share of distinct sequences of so many words; nothing where there is none."""
    found = [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]
    return [len(set(found)) / len(found)] if found else []
