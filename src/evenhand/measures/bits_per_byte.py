"""How many bits the model needs for each byte of running text: perplexity that tokenizers do not change."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.level import Level
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class BitsPerByte(Level):
    """−Σ log2-likelihood / Σ bytes of the text in UTF-8.

    Unlike perplexity per token it may be compared between models with different tokenizers, on the same texts. A text
    without tokens is undefined.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("sentence",)
    unit: ClassVar[str] = "bits/byte"

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return the log-likelihood (nats) and number of bytes of each text."""
        logp = readout.arrays["logp"].double()
        size = torch.tensor([len(case.prompt.encode()) for case in readout.cases], dtype=torch.float64)
        undefined = ~readout.defined | (readout.arrays["tokens"] <= 0) | (size == 0)
        return torch.stack([logp, size], dim=1).masked_fill(undefined[:, None], torch.nan)

    def combine(
        self, stats: Float[Tensor, "case stat"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value`, the bits per byte."""
        logp, size = (weights @ stats).unbind(-1)
        return {"value": -logp / size / math.log(2)}
