"""The one automaton that says whether an answer starts with a number, and which: used by exact search and by samples.

A text is a number at the start if it has the form `lead numeral end`.

- Lead: up to 2 spaces, then at most one sign and at most one currency character, in either order.
- Numeral: digits, or 1–3 digits and groups of `,` + exactly 3 digits (the longest match); then optionally `.` + digits;
  then optionally a unit: `k`, `K` (thousand) or `M` (million) right after it, or one space and thousand, million or
  billion. Only ASCII digits count ("1.250,00" reads 1.25); more than 15 digits are no number.
- End: a character that cannot continue the numeral, or the end of the answer. What cannot be decided yet stays
  undecided: the `.` of "1250." until one more character is seen, the group of "1,250" until no digit follows it, the
  unit of "5k" until no letter or digit follows ("5kg" reads 5). `%` ends a numeral: "3.5%" reads 3.5.

How the automaton moves depends on its *shape* alone (about 40 of them), never on which digits it has read; so a table
over a vocabulary is needed once per shape (see `evenhand.lm.vocabulary`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal

SIGNS = "+-−"
CURRENCIES = "$€£¥₹"
MOST_DIGITS = 15
END = "\n"
"""An end token does what this character does: it continues nothing and joins nothing."""
_LETTER_UNITS = {"k": 10**3, "K": 10**3, "M": 10**6}
_WORD_UNITS = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
_DIGITS = "0123456789"
_LEADS = ("lead0", "lead1", "lead2", "sign", "currency", "both")
_SETTLED = ("run1", "run2", "run3", "run", "fraction")
"""Shapes whose whole text reads as a number whatever follows."""


@dataclass(frozen=True, slots=True)
class State:
    """What has been read: its text, how much of it is settled as the numeral, and the shape it is in."""

    text: str = ""
    settled: int = 0
    shape: str = "lead0"


@dataclass(frozen=True, slots=True)
class Rejected:
    """The text is not a number at the start, whatever follows."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The numeral has ended: its value, and how many characters of the text belong to it (lead included)."""

    value: float
    length: int


START = State()
REJECTED = Rejected()


@dataclass(frozen=True, slots=True)
class Move:
    """What a piece of text does to a shape, without knowing the digits before it.

    `shape` is the next shape, or None when the numeral ends or is rejected inside the piece. `settled` is how many
    characters of the piece become part of the numeral (0: exactly what came before it); None leaves what was settled
    as it was, dropping what was undecided. A rejection has neither.
    """

    shape: str | None
    settled: int | None
    rejected: bool = False


def advance(state: State, text: str) -> State | Rejected | Ended:
    """Return the state after more text; the text may hold the end of the numeral and anything after it."""
    return apply(state, text, move(state.shape, text))


def apply(state: State, text: str, made: Move) -> State | Rejected | Ended:
    """Return what a move of the state's shape over `text` makes of the state."""
    if made.rejected:
        return REJECTED
    settled = state.settled if made.settled is None else len(state.text) + made.settled
    whole = state.text + text
    if sum(map(whole[: None if made.shape else settled].count, _DIGITS)) > MOST_DIGITS:
        return REJECTED
    return State(whole, settled, made.shape) if made.shape else Ended(value_of(whole[:settled]), settled)


def finish(state: State) -> Rejected | Ended:
    """Return what the text means when the answer ends here."""
    result = advance(state, END)
    return REJECTED if isinstance(result, State) else result


def move(shape: str, text: str) -> Move:
    """Return what a text does to a shape."""
    settled: int | None = None
    for i, char in enumerate(text):
        if _settles(shape, char):
            settled = i
        following = _step(shape, char)
        if following is None:
            return Move(None, None, rejected=True) if shape in _LEADS else Move(None, settled)
        shape = following
    return Move(shape, settled)


def read(text: str, ended: bool) -> State | Rejected | Ended:
    """Return what a whole answer starts with; a State means that an answer cut off here is undecided."""
    state = advance(START, text)
    return finish(state) if ended and isinstance(state, State) else state


def _settles(shape: str, char: str) -> bool:
    """Whether all text up to before `char` is now known to be the numeral."""
    if shape in _SETTLED:
        return True
    if shape == "group":
        return char not in _DIGITS
    return (shape == "unit" or shape.removeprefix("word ") in _WORD_UNITS) and not char.isalnum()


def _step(shape: str, char: str) -> str | None:
    """Return the shape after one more character, or None where it cannot continue."""
    if shape in _LEADS:
        return _lead(shape, char)
    if shape.startswith("comma"):
        return None if char not in _DIGITS else {"comma0": "comma1", "comma1": "comma2", "comma2": "group"}[shape]
    if shape == "dot":
        return "fraction" if char in _DIGITS else None
    if shape == "space" or shape.startswith("word "):
        begun = shape.removeprefix("space").removeprefix("word ") + char.lower()
        return f"word {begun}" if any(word.startswith(begun) for word in _WORD_UNITS) else None
    if shape == "unit":
        return None
    return _number(shape, char)


def _lead(shape: str, char: str) -> str | None:
    if char in _DIGITS:
        return "run1"
    if char == " ":
        return {"lead0": "lead1", "lead1": "lead2"}.get(shape)
    if char in SIGNS:
        return {"currency": "both"}.get(shape, "sign" if shape.startswith("lead") else None)
    if char in CURRENCIES:
        return {"sign": "both"}.get(shape, "currency" if shape.startswith("lead") else None)
    return None


def _number(shape: str, char: str) -> str | None:
    """Continue `run1`–`run3` (that many digits), `run` (more), `group` or `fraction`."""
    if char in _DIGITS:
        return {"run1": "run2", "run2": "run3", "fraction": "fraction", "group": None}.get(shape, "run")
    if char == ",":
        return "comma0" if shape in ("run1", "run2", "run3", "group") else None
    if char == ".":
        return None if shape == "fraction" else "dot"
    if char == " ":
        return "space"
    return "unit" if char in _LETTER_UNITS else None


_NUMERAL = re.compile(r"^ {0,2}(?P<lead>\D*?)(?P<number>[0-9][0-9,]*(?:\.[0-9]+)?) ?(?P<unit>[A-Za-z]*)$")


def value_of(numeral: str) -> float:
    """Return the number a settled numeral (lead and unit included) spells; NaN for an empty one."""
    found = _NUMERAL.match(numeral)
    if found is None:
        return math.nan
    unit = found["unit"]
    scale = _LETTER_UNITS.get(unit) or _WORD_UNITS.get(unit.lower(), 1)
    size = float(Decimal(found["number"].replace(",", "")) * scale)
    return -size if size and any(sign in found["lead"] for sign in "-−") else size
