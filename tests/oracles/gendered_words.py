"""The gap between words of two genders the slow, obvious way: plain probabilities, one word at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from oracles import plain_scoring

Pairs = Sequence[Sequence[str]]
"""(female, male) completions, the space in front included."""


def masses(lm: Any, prompt: str, pairs: Pairs, ending: str = "") -> tuple[float, float]:
    """Probability of all female and of all male completions; masked models read `ending` behind them."""
    female = male = 0.0
    for her, his in pairs:
        female += math.exp(plain_scoring.option(lm, prompt, her, ending))
        male += math.exp(plain_scoring.option(lm, prompt, his, ending))
    return female, male


def describe(words: Sequence[tuple[float, float]], neutral: tuple[float, float]) -> dict[str, float]:
    """Every value of the gap measures for words given as (female, male) masses and the masses of the neutral prompt."""
    base = math.log(neutral[0] / neutral[1])
    gap = corrected = size = corrected_size = males = entropy = mass = 0.0
    for female, male in words:
        here = math.log(female / male)
        gap += here
        corrected += here - base
        size += abs(here)
        corrected_size += abs(here - base)
        males += 1.0 if male > female else 0.5 if male == female else 0.0
        q, r = female / (female + male), male / (female + male)
        entropy += math.log(2) + q * math.log(q) + r * math.log(r)
        mass += female + male
    n = len(words)
    return {"gap": gap / n, "corrected": corrected / n, "size": size / n, "corrected_size": corrected_size / n,
            "male": males / n, "entropy_difference": entropy / n, "mass": mass / n}  # fmt: skip
