"""How much of the texts to forget is selected, in tokens that are trained on."""

from __future__ import annotations

from collections.abc import Sequence

from evenhand.core.marked import Coverage
from evenhand.lm.batches.predicted import predicted
from evenhand.lm.model import LM
from evenhand.lm.tokens import encode_all
from evenhand.train.objectives import Passage


def coverage(lm: LM, texts: Sequence[str], forget: Sequence[Passage]) -> Coverage:
    """Return how many texts have selected tokens and how many of their tokens these are; `forget` holds one a text."""
    encoded = encode_all(lm, texts, whole=True, or_end=True)
    return Coverage(
        texts=sum(bool(passage) for passage in forget),
        of_texts=len(texts),
        tokens=sum(len(line.at) for passage in forget for line in passage),
        of_tokens=sum(len(predicted(lm, each)) for each in encoded),
    )
