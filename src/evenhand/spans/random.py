"""As many random tokens of the same text as another selector takes: the control that every other has to beat.

Drawn by seed and text from the tokens that the other selector leaves, and from its own where those are too few. Only
tokens count and are drawn that can be trained on: no start and end tokens, none beyond the model's context. Without it
nothing can be said to come from *which* tokens are unlearned: any ascent changes scores of bias by making the model
worse.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from evenhand.core.case import Case
from evenhand.core.spans import Span, Spans, joined, overlaps
from evenhand.lm.batches.predicted import predicted
from evenhand.lm.model import LM
from evenhand.lm.tokens import encode_all
from evenhand.spans._chosen import selected, selector


@dataclass(frozen=True)
class Random:
    """As many tokens as `like` takes, drawn at random."""

    like: str = "given"
    """The selector whose number of tokens is matched, text by text."""
    like_settings: tuple[str, ...] = ()
    """Its settings, each written `key=value`."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    def select(self, lm: LM, texts: Sequence[Case], neutral: Sequence[str]) -> list[Spans]:
        """Return the characters of the drawn tokens."""
        matched = selected(selector(self.like, self.like_settings), lm, texts, neutral)
        tokens = _tokens(lm, texts)
        counts = [sum(overlaps(span, own) for span in few) for few, own in zip(tokens, matched, strict=True)]
        return [self._of(*each) for each in zip(texts, tokens, counts, matched, strict=True)]

    def drawn(self, lm: LM, texts: Sequence[Case], counts: Sequence[int]) -> list[Spans]:
        """Return so many random tokens of each text, all of them where it has fewer."""
        return [self._of(*each, ()) for each in zip(texts, _tokens(lm, texts), counts, strict=True)]

    def _of(self, case: Case, tokens: Sequence[Span], count: int, matched: Spans) -> Spans:
        taken = [span for span in tokens if overlaps(span, matched)]
        others = [span for span in tokens if not overlaps(span, matched)]
        draw = random.Random(hashlib.sha256(f"{self.seed}:{case.id}:{case.prompt}".encode()).hexdigest())
        draw.shuffle(others)
        draw.shuffle(taken)
        covered: set[int] = set()
        chosen: list[Span] = []
        for span in [*others, *taken]:
            # Tokens may share a character (a start-of-word mark and the first letter): one span is then two tokens.
            more = {i for i, token in enumerate(tokens) if i not in covered and overlaps(token, [span])}
            if more and len(covered) + len(more) <= count:
                covered |= more
                chosen.append(span)
        return joined(chosen)


def _tokens(lm: LM, texts: Sequence[Case]) -> list[list[Span]]:
    """The characters of every token that is predicted."""
    encoded = encode_all(lm, [case.prompt for case in texts], whole=True, or_end=True)
    return [[each.offsets[i] for i in predicted(lm, each)] for each in encoded]
