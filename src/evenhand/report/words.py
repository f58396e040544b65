"""Numbers and lists in plain words; undefined is said, never shown as 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import PurePath

from evenhand.core.estimate import Estimate

UNDEFINED = "undefined"


def number(value: float, digits: int = 2, sign: bool = False) -> str:
    """Return a number with a real minus sign and grouped thousands: `-1234.5` → `−1,234.50`."""
    if math.isnan(value):
        return UNDEFINED
    if math.isinf(value):
        return "infinite" if value > 0 else "minus infinite"
    text = f"{round(value, digits) + 0.0:{'+' if sign else ''},.{digits}f}"
    return f"{0:.{digits}f}" if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def figure(value: float) -> str:
    """Return three significant figures without an exponent, for numbers of any size (dollars, perplexity)."""
    if math.isnan(value) or math.isinf(value) or value == 0:
        return number(value, 0)
    return number(value, max(0, 2 - math.floor(math.log10(abs(value)))))


def percent(share: float, sign: bool = False) -> str:
    """Return a share as a percentage; one decimal below 10 % and just under 100 %. With `sign` it is a change."""
    if math.isnan(share):
        return UNDEFINED
    size = abs(share)
    if 0 < size < 0.0005:
        return "0.0\u00a0%" if sign else "less than 0.1\u00a0%"
    return f"{number(100 * share, 1 if 0 < size < 0.0995 or 0.99 < size < 1 else 0, sign)}\u00a0%"


def only(share: float) -> str:
    """Return a small share: `only 3.0 %`, or `less than 0.1 %`."""
    return f"only {percent(share)}".replace("only less", "less")


def points(change: Estimate) -> str:
    """Return a change of a share with its interval, in percentage points."""
    if not change.defined:
        return UNDEFINED
    low, high = (number(100 * end, 1, sign=True) for end in (change.low, change.high))
    ends = "" if math.isnan(change.low) else f" ({low} to {high})"
    return f"{number(100 * change.value, 1, sign=True)} points{ends}"


def q(value: float) -> str:
    """Return a q-value; none is exactly 0."""
    return "under 0.001" if value < 0.001 else number(value, 3)


def interval(estimate: Estimate, percentages: bool = False) -> str:
    """Return `0.60 to 0.95`, or that there is none."""
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return "no interval"
    show = percent if percentages else number
    return f"{show(estimate.low)} to {show(estimate.high)}"


def estimate(value: Estimate, percentages: bool = False) -> str:
    """Return `−0.84 (−1.02 to −0.66)`."""
    if not value.defined:
        return UNDEFINED
    return f"{percent(value.value) if percentages else number(value.value)} ({interval(value, percentages)})"


def listing(words: Sequence[str], most: int = 4) -> str:
    """Return `a, b and c`; a long list is cut to `a, b, c and 5 others`."""
    shown = list(words)
    if len(shown) > most + 1:
        shown = [*shown[:most], f"{len(shown) - most} others"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else "none"


def count(n: int, noun: str) -> str:
    """Return `1 name`, `3 names`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def against(value: float, favourable: str) -> float:
    """Return a signed gap (reference − other) so that positive means against the other group."""
    return -value if favourable == "low" else value


def direction(value: float, favourable: str, other: str, reference: str) -> str:
    """Return whom a signed gap (reference − other) disfavours: `against black names`."""
    if math.isnan(value) or value == 0:
        return f"between {reference} and {other} names"
    return f"{'against' if against(value, favourable) > 0 else 'in favour of'} {other} names"


def label(source: str) -> str:
    """Return a short name of a model: the last part of a path or hub id."""
    return PurePath(source.rstrip("/")).name or source


def token(text: str) -> str:
    """Return a token with its spaces and line breaks visible."""
    return text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥") or "(empty)"
