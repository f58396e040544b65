"""Spans of characters [start, end) in a text: the words that make it what it is, and what is said about them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

Span = tuple[int, int]
Spans = tuple[Span, ...]
"""Ascending and apart."""

_WORD = re.compile(r"\w+(?:['’-]\w+)*")


def words(text: str) -> list[Span]:
    """Return where the words of a text stand, in order; an apostrophe or a hyphen inside one is part of it."""
    return [found.span() for found in _WORD.finditer(text)]


def joined(spans: Iterable[Span]) -> Spans:
    """Return spans in order, overlapping and touching ones as one, without empty ones."""
    kept: list[Span] = []
    for start, end in sorted(each for each in spans if each[0] < each[1]):
        if kept and start <= kept[-1][1]:
            kept[-1] = (kept[-1][0], max(end, kept[-1][1]))
        else:
            kept.append((start, end))
    return tuple(kept)


def overlaps(span: Span, others: Sequence[Span]) -> bool:
    """Return whether a span shares a character with any of others."""
    return any(span[0] < end and start < span[1] for start, end in others)


def standing(text: str, phrase: str) -> list[Span]:
    """Return where a phrase stands in a text as whole words, in whatever case."""
    if not phrase:
        return []
    wanted = r"\s+".join(re.escape(word) for word in phrase.split())
    return [found.span() for found in re.finditer(rf"(?<!\w){wanted}(?!\w)", text, re.IGNORECASE)]
