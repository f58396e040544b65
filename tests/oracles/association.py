"""Association scores counted by hand, and the published reading rule for lists: start and end of a line."""

from __future__ import annotations

import math
from collections.abc import Sequence


def start_and_end(line: str, words: Sequence[str], groups: Sequence[str]) -> tuple[str, str] | None:
    """The listed word a line starts with and the listed group it ends with, the longest of each; None without both."""
    text = line.strip().lower()
    starts = [word for word in words if text.startswith(word.lower())]
    ends = [group for group in groups if text.endswith(group.lower())]
    return (max(starts, key=len), max(ends, key=len)) if starts and ends else None


def d_score(
    pairs: Sequence[tuple[str, str]], positive: Sequence[str], stigmatised: Sequence[str], added: float = 0.0
) -> float:
    """D of the pairs of one answer; NaN where a group has no word, or (with `added`) where there is no pair."""
    counts = {(side, sort): 0 for side in "sd" for sort in "+-"}
    for word, group in pairs:
        counts["s" if group in stigmatised else "d", "+" if word in positive else "-"] += 1
    of_s, of_d = counts["s", "-"] + counts["s", "+"] + added, counts["d", "-"] + counts["d", "+"] + added
    if not pairs or 0 in (of_s, of_d):
        return math.nan
    return counts["s", "-"] / of_s + counts["d", "+"] / of_d - 1


def shares(outcomes: Sequence[str], copies: Sequence[str]) -> dict[str, float]:
    """Shares of one sort of answer (`stereotype`, `reverse`, other), `copies` being what copying the order gives."""
    n, valid = len(outcomes), [each for each in outcomes if each in ("stereotype", "reverse")]
    directions: list[float] = []
    for direction in ("stereotype", "reverse"):
        here = [o for o, c in zip(outcomes, copies, strict=True) if c == direction and o in ("stereotype", "reverse")]
        directions.append(here.count("stereotype") / len(here))
    follow = sum(o == c for o, c in zip(outcomes, copies, strict=True))
    return {
        "value": valid.count("stereotype") / len(valid),
        "stereotype": valid.count("stereotype") / n,
        "highest": 1 - valid.count("reverse") / n,
        "balanced": sum(directions) / 2,
        "copying": follow / len(valid),
    }
