"""How far what a model writes can be compressed: loops and stock phrases can, varied text cannot."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Outcome
from evenhand.core.level import Level
from evenhand.core.readout import Readout


@dataclass(frozen=True)
class CompressionRatio(Level):
    """Σ bytes of the answers / Σ bytes after zlib (level 9), all answers to one prompt compressed together.

    After Shaib et al. (2024, "Standardizing the Measurement of Text Diversity"), who compress a whole corpus. English
    prose of some kilobytes comes to 2 or 3; a model in a loop to far more. The ratio grows with the number and length
    of the answers, so compare only runs with the same limits; below 1 the texts are too short to say anything.
    """

    kinds: ClassVar[tuple[Outcome, ...]] = ("text",)
    examples: ClassVar[tuple[str, ...]] = ("a b c d e f", "a a a a a a a a", "one two three four one two three four")

    def per_case(self, readout: Readout, reference: Readout | None = None) -> Float[Tensor, "case stat"]:
        """Return the bytes of all answers to a case, as they are and compressed."""
        rows = [_sizes(few) for few in readout.answers] if readout.answers else [[0.0, 0.0] for _ in readout.cases]
        return torch.tensor(rows, dtype=torch.float64).reshape(-1, 2)

    def combine(
        self, stats: Float[Tensor, "case stat"], weights: Float[Tensor, "*boot case"]
    ) -> dict[str, Float[Tensor, "*boot"]]:
        """Return `value`, the ratio."""
        plain, compressed = (weights @ stats).unbind(-1)
        return {"value": plain / compressed}


def _sizes(answers: Sequence[str]) -> list[float]:
    text = "\n".join(answers).encode()
    return [float(len(text)), float(len(zlib.compress(text, 9)))] if any(answers) else [0.0, 0.0]
