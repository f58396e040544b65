"""Templates: `{slot}` is filled, `{{` and `}}` are braces, any other brace is a mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_PIECE = re.compile(r"\{\{|\}\}|\{([A-Za-z0-9_-]+)\}|[{}]")


def slots(text: str) -> tuple[str, ...]:
    """Return the names of the slots in order of first appearance."""
    return tuple(dict.fromkeys(m[1] for m in _PIECE.finditer(text) if m[1]))


def stray_braces(text: str) -> Iterator[str]:
    """Yield the surroundings of every brace that belongs to no slot."""
    for m in _PIECE.finditer(text):
        if m[0] in ("{", "}"):
            yield text[max(0, m.start() - 8) : m.end() + 12]


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return the text with every slot replaced by its value, once: braces inside values stay as they are."""
    return _PIECE.sub(lambda m: values[m[1]] if m[1] else m[0][0], text)
