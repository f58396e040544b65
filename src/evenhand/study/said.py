"""What a model wrote with a state in place of a word: something about one concept, the other, neither, or nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence

from evenhand.core.represented import EMPTY, OTHER
from evenhand.study.concepts import ConceptConfig

_FEWEST, _DISTINCT = 6, 0.5
"""A text of at least so many words of which at most this share are different says nothing: it repeats itself."""


def kind_of(text: str, concepts: Sequence[ConceptConfig], plain: str) -> str:
    """Return the name of the concept whose word comes first, `other` where none does, or `empty`.

    Empty is a text without letters, one that mostly repeats itself, and `plain`: what is written where no state is put
    in place, which therefore says nothing about the state, whatever it says.
    """
    spoken = re.findall(r"\w+", text.lower())
    repeats = len(spoken) >= _FEWEST and len(set(spoken)) <= _DISTINCT * len(spoken)
    if not re.search(r"[^\W\d_]", text) or repeats or text.strip() == plain.strip():
        return EMPTY
    named = {concept.name: min(found) for concept in concepts if (found := _places(text.lower(), concept.said))}
    return min(named, key=lambda name: named[name]) if named else OTHER


def _places(text: str, words: Sequence[str]) -> list[int]:
    """Where any of the words stands, as a whole word."""
    return [found.start() for word in words if (found := re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text))]
