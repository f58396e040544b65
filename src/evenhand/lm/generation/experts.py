"""Decoding with two more models: away from a biased one, towards one that is its opposite (DExperts).

    p′(w) ∝ exp(z(w) + α (z_fair(w) − z_biased(w)))

z are the logits of the model, of an expert (trained on anti-biased text) and of an anti-expert (on biased text), all
after the same tokens. Sources: Liu et al. 2021 (ACL main.522, DExperts); Tong et al. 2024 (arXiv 2412.01711) for bias.
Both read what a place has read from its start, as in `evenhand.lm.generation.decoding`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from evenhand.core.errors import CannotRun
from evenhand.lm.batches.logits import context_length, log_softmax, vocabulary
from evenhand.lm.generation.decoding import check_free, read_again, tokens_read
from evenhand.lm.model import LM


@dataclass(frozen=True, slots=True)
class Experts:
    """Two models that say what the logits are moved by."""

    fair: LM
    biased: LM
    strength: float
    taken: int
    """Tokens by which the shortest of their contexts is shorter than the model's."""

    def logits(
        self, lm: LM, inputs: dict[str, Any], rows: Int[Tensor, " k"], at: Int[Tensor, " k"],
        logits: Float[Tensor, "k vocab"],
    ) -> Float[Tensor, "k vocab"]:  # fmt: skip
        """Return log p′ (fp32) at the wanted (row, position) pairs of a forward pass that gave `logits`."""
        read = tokens_read(inputs, rows, at)
        moved = log_softmax(logits)
        for expert, sign in ((self.fair, 1.0), (self.biased, -1.0)):

            def take(numbers: Int[Tensor, " n"], found: Float[Tensor, "n vocab"], sign: float = sign) -> None:
                moved[numbers.to(moved.device)] += sign * self.strength * log_softmax(found).to(moved.device)

            read_again(expert, read, take)
        return log_softmax(moved)


def experts_for(lm: LM, fair: LM, biased: LM, strength: float) -> Experts:
    """Return the decoding of a model by two experts.

    Raises CannotRun unless all are causal models, and the experts write every text with the very tokens of the model.
    """
    check_free(lm)
    for expert in (fair, biased):
        check_free(expert)
        if (vocabulary(expert), expert.tokenizer.get_vocab()) != (vocabulary(lm), lm.tokenizer.get_vocab()):
            raise CannotRun(
                f"{expert.identity.source} has not the vocabulary of {lm.identity.source} ({vocabulary(expert)} and "
                f"{vocabulary(lm)} logits, or other tokens); an expert must have been trained with the same tokenizer"
            )
    widths = [context_length(each) for each in (lm, fair, biased)]
    known = [width for width in widths if width is not None]
    whole = widths[0] if widths[0] is not None else max(known, default=0)
    return Experts(fair, biased, strength, max(0, whole - min(known, default=0)))
