"""What became of the answers: valid, refused, no number, a range, cut off, not searched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.level import Share
from evenhand.core.readout import Readout

_NAMED = ("valid", "refusal", "no_number", "range", "truncated", "open", "not_number")


@dataclass(frozen=True)
class AnswerShares(Share):
    """Share of all answers (or of all probability) that is of each sort, and `invalid`, which is 1 − valid.

    Every case counts the same; nothing is left out. Sorts without a column here are summed as `other`.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("number", "choice", "pair", "text")
    headline: ClassVar[tuple[str, ...]] = ("valid", "refusal")

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return 1 and the share of each sort."""
        none = torch.zeros(len(readout), dtype=torch.float64)
        named = [readout.shares.get(name, none).double() for name in _NAMED]
        other = sum((share.double() for name, share in readout.shares.items() if name not in _NAMED), none)
        return torch.stack([none + 1, *named, other], dim=1)

    def combine(
        self, stats: Float[Tensor, "case stat"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return one share per sort, and `invalid`."""
        summed = weights @ stats
        shares = (summed[..., 1:] / summed[..., :1]).unbind(-1)
        return {**dict(zip((*_NAMED, "other"), shares, strict=True)), "invalid": 1 - shares[0]}
