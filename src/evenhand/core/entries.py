"""Scores of single weights, made one matrix at a time because all of them are as large as the model, and sets of them.

A share of the highest is taken `among` the entries of each matrix (Ma et al. 2025), of each row, which is an output
feature (Wanda, Sun et al. 2023), or of all matrices together (`global`). It is floored, and ties break by address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from evenhand.core.component import Layout, Selection, Site
from evenhand.core.highest import count_of, members, ordered, threshold

Among = Literal["matrix", "row", "global"]
_FINE = 20
"""Bits of a score's key by which its place among all matrices is counted."""


@dataclass(frozen=True, eq=False)
class MatrixScores:
    """A score per entry of every matrix; larger means that it carries more of what the locator looks for.

    `stream` makes the scores of the sites it is asked for, one matrix at a time as [out, in] (float32), anew for every
    pass. It reads the model when it is run: change no weight between two passes.
    """

    layout: Layout
    stream: Callable[[Sequence[Site]], Iterator[Float[Tensor, "_out _in"]]]
    locator: str = ""
    notes: dict[str, Any] = field(default_factory=dict[str, Any])

    def matrices(self) -> Iterator[Float[Tensor, "_out _in"]]:
        """Yield the scores of each matrix, in the order of the layout."""
        return self.stream(self.layout.sites)

    def pieces(self) -> Iterator[Float[Tensor, " _unit"]]:
        """Yield the same as one row of entries for each matrix."""
        return (scores.flatten() for scores in self.matrices())

    def only(self, keep: Callable[[Site], bool]) -> MatrixScores:
        """Return the scores of the matrices that `keep` says yes to; the others are not made."""
        return replace(self, layout=replace(self.layout, sites=tuple(s for s in self.layout.sites if keep(s))))


def highest_share(scores: MatrixScores, share: float, among: Among) -> Iterator[Bool[Tensor, " _entry"]]:
    """Yield for each matrix which of its entries are among the `share` highest."""
    if among == "global":
        end = threshold(scores, count_of(share, scores.layout.size))
        yield from (mask for mask, _ in members(scores, end))
        return
    for matrix in scores.matrices():
        pools = matrix if among == "row" else matrix.reshape(1, -1)
        yield _highest(pools, count_of(share, pools.shape[1])).flatten()


def _highest(pools: Float[Tensor, "pool n"], count: int) -> Bool[Tensor, "pool n"]:
    """Which are the `count` highest of each pool; the first of equal ones, and none that is undefined."""
    if not count:
        return torch.zeros_like(pools, dtype=torch.bool)
    defined = pools.nan_to_num(nan=-torch.inf)
    least = defined.kthvalue(pools.shape[1] - count + 1, dim=1, keepdim=True).values
    mask, ties = defined > least, defined == least
    room = count - mask.sum(1, keepdim=True)
    if bool((ties.sum(1, keepdim=True) > room).any()):
        ties &= ties.cumsum(1, dtype=torch.int32) <= room
    return (mask | ties) & ~pools.isnan()


def places(scores: MatrixScores, among: Among) -> Iterator[Float[Tensor, " _entry"]]:
    """Yield for each matrix the share of its pool from which on an entry is among the highest; NaN without a score.

    Places among all matrices are counted in bins of the score at most 0.05 % wide and interpolated inside them.
    """
    if among == "global":
        yield from _interpolated(scores)
        return
    for matrix in scores.matrices():
        pools = matrix if among == "row" else matrix.reshape(1, -1)
        order = torch.argsort(pools.nan_to_num(nan=-torch.inf), dim=1, descending=True, stable=True)
        rank = (torch.arange(1, pools.shape[1] + 1, device=pools.device) / pools.shape[1]).expand_as(order)
        yield torch.empty_like(pools).scatter_(1, order, rank).masked_fill_(pools.isnan(), torch.nan).flatten()


def _interpolated(scores: MatrixScores) -> Iterator[Float[Tensor, " _entry"]]:
    drop, bins = 32 - _FINE, 1 << _FINE
    counts = torch.zeros(bins, dtype=torch.long)
    for piece in scores.pieces():
        counts += torch.bincount((ordered(piece[~piece.isnan()]) >> drop) + bins // 2, minlength=bins).cpu()
    higher = counts.flip(0).cumsum(0).flip(0) - counts
    for piece in scores.pieces():
        key = ordered(piece).cpu()
        place = (key >> drop) + bins // 2
        inside = 1 - (key & ((1 << drop) - 1)).double() / (1 << drop)
        found = ((higher[place] + counts[place] * inside) / counts.sum()).float().to(piece.device)
        yield found.masked_fill_(piece.isnan(), torch.nan)


def difference(pruned: MatrixScores, kept: MatrixScores, shares: tuple[float, float], among: Among) -> Selection:
    """Return the entries among the first share of the highest of `pruned` and not among the second one of `kept`."""
    sides = zip(highest_share(pruned, shares[0], among), highest_share(kept, shares[1], among), strict=True)
    return Selection.joined(pruned.layout, [(a & ~b).nonzero().flatten().cpu() for a, b in sides])


def widened(selection: Selection, layout: Layout) -> Selection:
    """Return a selection made on some of a layout's sites as one of that layout."""
    pieces = dict(zip((site.path for site in selection.layout.sites), selection.pieces(), strict=True))
    return Selection.joined(layout, [pieces.get(site.path, selection.units[:0]) for site in layout.sites])
