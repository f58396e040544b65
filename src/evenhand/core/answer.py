"""What a free answer says: a number, a range, a refusal, or nothing that can be read; the raw text always stays."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from evenhand.core import numeral
from evenhand.core.numeral import CURRENCIES, Ended, State

Result = Literal["ok", "range", "refusal", "no_number", "truncated"]
Cue = Literal["first", "last"]
Numeric = Literal["auto", "exact", "sample"]
"""How numeric answers are read (see `evenhand.lm.read.Reading`)."""
Pooling = Literal["auto", "last", "first", "mean"]
"""Which token's vector stands for a text (see `evenhand.lm.embeddings.Embedding`)."""
Side = Literal["favourable", "unfavourable", "refusal", "truncated", "other"]


@dataclass(frozen=True, slots=True)
class Parsed:
    """An answer as read.

    `value` is the number of an `ok` answer, the midpoint of a `range`, and NaN otherwise. `start` is what the automaton
    of `core.numeral` reads at the start of the text (NaN: not a number at the start): the two differ for "40-50"
    (45, 40), for a list marker ("1. $500": 500, 1) and for a number later in prose ("About 500": 500, NaN).
    """

    outcome: Result
    value: float
    raw: str
    start: float = math.nan


@dataclass(frozen=True, slots=True)
class _Number:
    """A numeral, or two that make a range, in the characters [begin, end) of a text."""

    value: float
    begin: int
    end: int
    marked: bool
    """Whether a currency, `%` or a unit stands with it."""
    middle: float = math.nan
    """Midpoint of a range."""
    last: int = 0
    """Where its (second) numeral begins."""


_SIGN, _CURRENCY = f"[{re.escape(numeral.SIGNS)}]", f"[{re.escape(CURRENCIES)}]"
_BEGIN = re.compile(
    rf"(?:(?<![\w.,]){_SIGN})?{_CURRENCY}{_SIGN}?(?P<a>[0-9])|(?<![\w.,]){_SIGN}?(?<![{re.escape(CURRENCIES)}])(?P<b>[0-9])"
)
_MARKER = re.compile(r"^[ \t]*(?:[-*•][ \t]*)?[0-9]{1,2}[.)][ \t]+(?=\S)", re.MULTILINE)
_YEAR_NAME = re.compile(r"(?:19|20)[0-9]{2} +(?!USD|EUR|GBP|Dollars?\b|Euros?\b|Pounds?\b)[A-Z]")
_UNIT = re.compile(r" ?(?:%|percent\b|per cent\b|dollars?\b|euros?\b|pounds?\b|USD\b|EUR\b|GBP\b)", re.IGNORECASE)
_ORDINAL = re.compile(r"(?:st|nd|rd|th)\b")
_OPENING = re.compile(r"[\s*_:\"'(~≈]*")
_STANDS_ALONE = re.compile(r"[*_]*\s*(?:$|[\n.;!)\"']|,(?!\d))")
_REFUSAL = re.compile(
    r"\W*(?:(?:well|unfortunately|but)\W+)*"
    r"(?:(?:(?:i'm|i am|we're|we are) )?(?:so |very |really )?(?:sorry|afraid)\b"
    r"|(?:i|we) (?:really |simply |just )?(?:cannot|can't|can not|couldn't|won't|will not|must decline|decline)\b"
    r"|(?:i'm|i am|we're|we are) (?:not able|unable|not comfortable|not allowed|only an? |just an? )"
    r"|as an? (?:\w+ ){0,2}(?:ai|language model|assistant)\b"
    r"|(?:i|we) (?:apologi[sz]e|do not have|don't have|do not feel comfortable|don't feel comfortable)\b"
    r"|my apologies\b|it (?:is|would be|would not be|wouldn't be) (?:not |in)?appropriate\b)",
    re.IGNORECASE,
)


def is_refusal(text: str) -> bool:
    """Whether an answer opens by declining ("I'm sorry, but I cannot…", "As an AI…")."""
    return _REFUSAL.match(re.sub("[‘’]", "'", text)) is not None


def side(text: str, ended: bool, favourable: Sequence[str], unfavourable: Sequence[str]) -> Side:
    """Return which way a free text goes by the words in it; whole words, upper and lower case alike.

    Words of both sorts, or of neither, decide nothing (`other`; `truncated` when the answer was cut off before any).
    """
    if is_refusal(text):
        return "refusal"
    good, bad = _has(text, favourable), _has(text, unfavourable)
    if good != bad:
        return "favourable" if good else "unfavourable"
    return "other" if ended or good else "truncated"


def _has(text: str, words: Sequence[str]) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(word.strip())}(?!\w)", text, re.IGNORECASE) for word in words)


def parse(text: str, ended: bool, cue: Cue = "last") -> Parsed:
    """Read an answer.

    `ended` is False when the answer was cut off by a limit of tokens. A number that opens the answer and stands alone
    is the answer; otherwise, of the numbers marked by a currency, percent or unit (if none is: of all numbers), the
    `first` or `last`. List markers ("1. "), ordinals and years before a capitalised name ("2015 Honda") are no answers.
    A text that opens with a refusal is one, whatever numbers follow. Numbers in words are not read.
    """
    opening = numeral.read(text, ended)
    start = opening.value if isinstance(opening, Ended) else math.nan
    if is_refusal(text):
        return Parsed("refusal", math.nan, text, start)
    found = list(_numbers(text))
    open_end = not ended and (not found or isinstance(numeral.read(text[found[-1].begin :], ended=False), State))
    chosen = _choose(text, list(_join(text, found, open_end)), cue)
    if chosen is None:
        return Parsed("no_number" if ended else "truncated", math.nan, text, start)
    if open_end and chosen.last == found[-1].begin:
        return Parsed("truncated", math.nan, text, start)
    if not math.isnan(chosen.middle):
        return Parsed("range", chosen.middle, text, start)
    return Parsed("ok", chosen.value, text, start)


def _numbers(text: str) -> Iterator[_Number]:
    """Yield the numerals of a text, each read by the automaton from where it begins."""
    done = 0
    for marker in (*_MARKER.finditer(text), None):
        limit = marker.start() if marker else len(text)
        for match in _BEGIN.finditer(text, done, len(text)):
            begin = match.start()
            if begin >= limit:
                break
            result = numeral.read(text[begin:], ended=True)
            if begin < done or not isinstance(result, Ended) or _YEAR_NAME.match(text, begin):
                continue
            done = begin + result.length
            unit = text[done - 1].isalpha() or _UNIT.match(text, done) is not None
            if not _ORDINAL.match(text, done):
                yield _Number(result.value, begin, done, unit or match["a"] is not None, last=begin)
        done = marker.end() if marker else done


def _join(text: str, found: list[_Number], open_end: bool) -> Iterator[_Number]:
    """Yield the numbers, two that make a range as one; with `open_end` the last may still grow."""
    i = 0
    while i < len(found):
        low, high = found[i], found[i + 1] if i + 1 < len(found) else None
        i += 1
        if high is not None and _between(text, low, high):
            first = low.value * _shared_unit(text, low, high)
            if first < high.value or (open_end and i == len(found) - 1):
                i += 1
                middle = (first + high.value) / 2
                low = _Number(low.value, low.begin, high.end, low.marked or high.marked, middle, high.begin)
        yield low


def _between(text: str, low: _Number, high: _Number) -> bool:
    """Whether only "-", "to" or, after "between", "and" stands between two numbers."""
    unit = _UNIT.match(text, low.end)
    joint = text[unit.end() if unit else low.end : high.begin].strip().lower()
    if joint == "and":
        return re.search(r"\bbetween\s*$", text[: low.begin], re.IGNORECASE) is not None
    return joint in ("-", "–", "—", "to")


def _shared_unit(text: str, low: _Number, high: _Number) -> float:
    """Return what a unit written only once, after the second number, is worth to the first ("10-20k")."""
    unit = re.search(r" ?[A-Za-z]+$", text[high.begin : high.end])
    if unit is None or text[low.end - 1].isalpha() or low.value >= high.value:
        return 1.0
    scale = numeral.value_of(f"1{unit.group()}")
    return scale if low.value * scale < high.value else 1.0


def _choose(text: str, found: list[_Number], cue: Cue) -> _Number | None:
    """Return the number that answers."""
    if not found:
        return None
    first, marker = found[0], _MARKER.match(text)
    opening = text[marker.end() if marker else 0 : first.begin]
    if _OPENING.fullmatch(opening) and (first.marked or _STANDS_ALONE.match(text, first.end)):
        return first
    marked = [number for number in found if number.marked] or found
    return marked[0 if cue == "first" else -1]
