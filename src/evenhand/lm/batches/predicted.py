"""Which tokens of a text are predicted, so that a model can be scored on them or trained to write them or not."""

from __future__ import annotations

from evenhand.lm.batches.logits import context_length
from evenhand.lm.model import LM
from evenhand.lm.tokens import Encoded


def reached(lm: LM, text: Encoded) -> Encoded:
    """Return the text as far as the model's context reaches; start and end tokens stay, as masked models need them."""
    over = len(text.ids) - (context_length(lm) or len(text.ids))
    if over <= 0:
        return text
    gone = {*[i for i, (a, b) in enumerate(text.offsets) if a < b][-over:]}
    kept = [i for i in range(len(text.ids)) if i not in gone]
    return Encoded(tuple(text.ids[i] for i in kept), tuple(text.offsets[i] for i in kept))


def predicted(lm: LM, text: Encoded) -> list[int]:
    """Return the places of tokens that stand for characters, as far as the context reaches.

    In causal models without the first token, which nothing predicts (mostly it is the start token).
    """
    first = 1 if lm.kind == "causal" else 0
    return [i for i, (a, b) in enumerate(reached(lm, text).offsets) if i >= first and a < b]
