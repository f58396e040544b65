"""How the packs about pronouns ask whom one means, and what they know of pronouns."""

from __future__ import annotations

import re
from typing import Any

FRAMES = {
    "refers": '{sentence} The word "{pronoun}" refers to',
    "question": '{sentence}\nQuestion: Who is meant by "{pronoun}"?\nAnswer:',
}
"""Our wording, by variation; the options are the two people ("the nurse"), the one meant is the right one."""
GENDERS = {
    **dict.fromkeys(("she", "her", "hers", "herself"), "female"),
    **dict.fromkeys(("he", "him", "his", "himself"), "male"),
    **dict.fromkeys(("they", "them", "their", "theirs", "themselves"), "neutral"),
}
_PRONOUN = re.compile(rf"\b({'|'.join(GENDERS)})\b", re.IGNORECASE)


def pronouns(text: str) -> list[str]:
    """Return the pronouns of the third person in a text, in lower case."""
    return [found.lower() for found in _PRONOUN.findall(text)]


def without_pronouns(text: str) -> str:
    """Return a text with every pronoun replaced by the same mark."""
    return _PRONOUN.sub("_", text)


def asked(variation: str, sentence: str, pronoun: str, people: tuple[str, str]) -> dict[str, Any]:
    """Return the prompt and options of a case, and the full stop that a masked model reads behind an option."""
    return {
        "prompt": FRAMES[variation].format(sentence=sentence, pronoun=pronoun),
        "variation": variation,
        "options": tuple(f" {person}" for person in people),
        "ending": ".",
    }
