"""The definition of a number at the start, as one slow regular expression over the whole text."""

from __future__ import annotations

import re

_NUMBER = re.compile(
    r"""
    \ {0,2}
    (?: (?P<sign1>[-+−])?[$€£¥₹]? | [$€£¥₹](?P<sign2>[-+−]) )
    (?P<whole> [0-9]{1,3}(?:,[0-9]{3}(?![0-9]))+ | [0-9]+ )
    (?P<fraction> \.[0-9]+ )?
    (?P<unit> [kKM](?![^\W_]) | \ (?i:thousand|million|billion)(?![^\W_]) )?
    """,
    re.VERBOSE,
)
_SCALE = {"": 1, "k": 10**3, "m": 10**6, "thousand": 10**3, "million": 10**6, "billion": 10**9}


def numeral_at_start(text: str) -> str | None:
    """Return the text of the number a finished answer starts with, or None."""
    found = _NUMBER.match(text)
    if found is None or sum(char.isdigit() and char.isascii() for char in found.group()) > 15:
        return None
    return found.group()


def number_at_start(text: str) -> float | None:
    """Return the number a finished answer starts with, or None."""
    found = _NUMBER.match(numeral_at_start(text) or "")
    if found is None:
        return None
    size = float(found["whole"].replace(",", "") + (found["fraction"] or ""))
    size = round(size * _SCALE[(found["unit"] or "").strip().lower()], 9)
    return -size if (found["sign1"] or found["sign2"] or "+") in "-−" else size
