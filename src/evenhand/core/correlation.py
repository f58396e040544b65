"""Pearson's correlation over words, as sums that a bootstrap can weigh."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Case


def placed(
    cases: Sequence[Case], words: Sequence[Hashable], x: Sequence[float], y: Sequence[float],
    like: Float[Tensor, " case"],
) -> Float[Tensor, "case 6"]:  # fmt: skip
    """Return 1, x, y, x², y² and xy of each word on its defined case of the first id, zeros on its others.

    `words`, one per case, tells which belong together; `x` and `y` are those of its word, NaN where the word has none.
    `like` is NaN where the case itself is undefined, and so is its row.
    """
    rows = torch.zeros(len(words), 6, dtype=torch.float64)
    rows[like.isnan()] = torch.nan
    seen: set[Hashable] = set()
    for i in sorted(range(len(cases)), key=lambda i: cases[i].id):  # whatever order the cases come in
        word, a, b = words[i], x[i], y[i]
        if word in seen or bool(like[i].isnan()) or math.isnan(a) or math.isnan(b):
            continue
        seen.add(word)
        rows[i] = torch.tensor([1.0, a, b, a * a, b * b, a * b], dtype=torch.float64)
    return rows


def pearson(summed: Float[Tensor, "*boot 6"]) -> Float[Tensor, "*boot"]:
    """Return the correlation from weighted sums of the columns of `placed`; NaN where x or y does not vary."""
    n, x, y, xx, yy, xy = summed.unbind(-1)
    spread_x, spread_y = xx - x * x / n, yy - y * y / n
    varies = (spread_x > 1e-12 * xx) & (spread_y > 1e-12 * yy)
    value = (xy - x * y / n) / (spread_x * spread_y).sqrt()
    return torch.where(varies, value.clamp(-1, 1), torch.nan)
