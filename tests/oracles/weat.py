"""WEAT by the book, one pair of words and one partition at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

Vector = Sequence[float]


def cosine(u: Vector, v: Vector) -> float:
    dot = math.fsum(a * b for a, b in zip(u, v, strict=True))
    return dot / math.sqrt(math.fsum(a * a for a in u) * math.fsum(b * b for b in v))


def association(word: Vector, a: Sequence[Vector], b: Sequence[Vector]) -> float:
    return sum(cosine(word, v) for v in a) / len(a) - sum(cosine(word, v) for v in b) / len(b)


def effect_size(x: Sequence[Vector], y: Sequence[Vector], a: Sequence[Vector], b: Sequence[Vector], ddof: int) -> float:
    of_x, of_y = ([association(word, a, b) for word in words] for words in (x, y))
    every = of_x + of_y
    mean = sum(every) / len(every)
    deviation = math.sqrt(sum((s - mean) ** 2 for s in every) / (len(every) - ddof))
    return (sum(of_x) / len(of_x) - sum(of_y) / len(of_y)) / deviation


def exact_p(x: Sequence[Vector], y: Sequence[Vector], a: Sequence[Vector], b: Sequence[Vector], strict: bool) -> float:
    """Share of all partitions of x ∪ y whose test statistic is at least the real one (strict: above it)."""
    s = [association(word, a, b) for word in [*x, *y]]
    observed = sum(s[: len(x)]) - sum(s[len(x) :])
    count = total = 0
    for chosen in itertools.combinations(range(len(s)), len(x)):
        statistic = sum(v if i in chosen else -v for i, v in enumerate(s))
        tie = abs(statistic - observed) < 1e-9
        count += (statistic > observed and not tie) or (tie and not strict)
        total += 1
    return count / total
