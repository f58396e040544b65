"""The highest of scores that come one matrix at a time: exact, without ever sorting or holding all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from evenhand.core.component import Layout, Selection
from evenhand.core.errors import UsageError

_BINS, _LOW = 1 << 16, 0xFFFF


@runtime_checkable
class Scores(Protocol):
    """A score per unit of a layout, dense (`Attribution`) or made anew for each pass (`MatrixScores`)."""

    @property
    def layout(self) -> Layout:
        """The units that are scored."""
        ...

    def pieces(self) -> Iterator[Float[Tensor, " _unit"]]:
        """Yield the scores of each site, in the order of the layout."""
        ...


class Threshold(NamedTuple):
    """Where the highest end: every score of a larger key is among them, and the first `room` of this key."""

    key: int
    room: int


def count_of(share: float, size: int) -> int:
    """Return how many of `size` units a share of them is, floored: 0.29 of 100 is 29, though its product is below."""
    return math.floor(share * size * (1 + 1e-12))


def nested(scores: Scores, counts: Sequence[int]) -> list[Selection]:
    """Return the sets of the `counts` highest-scored units, from one selection of the largest; ties break by address.

    NaN scores are never selected; asking for more units than have a score raises UsageError. Three passes over the
    pieces; beside one piece at a time only the addresses and scores of the largest set are held.
    """
    most = max(counts, default=0)
    if not most:
        return [Selection.of(scores.layout, []) for _ in counts]
    chosen: list[Tensor] = []
    values: list[Tensor] = []
    starts = scores.layout.starts()
    for start, (mask, piece) in zip(starts, members(scores, threshold(scores, most)), strict=True):
        chosen.append(mask.nonzero().flatten().cpu() + start)
        values.append(piece[mask].float().cpu())
    addresses = torch.cat(chosen)
    order = torch.argsort(torch.cat(values), descending=True, stable=True)
    return [Selection.of(scores.layout, addresses[order[:count]]) for count in counts]


def scores_of(scores: Scores, selection: Selection) -> Float[Tensor, " k"]:
    """Return the scores of the selected units, in the order of their addresses; one pass."""
    each = zip(scores.pieces(), selection.pieces(), strict=True)
    return torch.cat([piece[units.to(piece.device)].float().cpu() for piece, units in each])


def threshold(scores: Scores, count: int) -> Threshold:
    """Return where the `count` highest scores end, by counting keys twice: their upper halves, then the lower ones."""
    upper = torch.zeros(_BINS, dtype=torch.long)
    for piece in scores.pieces():
        upper += _histogram(_defined(piece) >> 16, -(_BINS // 2))
    if count > (defined := int(upper.sum())):
        size = scores.layout.size
        raise UsageError(f"asked for the top {count} units, but only {defined} of {size} have a score")
    half, left = _bin(upper, count)
    half -= _BINS // 2
    lower = torch.zeros(_BINS, dtype=torch.long)
    for piece in scores.pieces():
        found = _defined(piece)
        lower += _histogram(found[(found >> 16) == half] & _LOW, 0)
    low, room = _bin(lower, left)
    return Threshold((half << 16) | low, room)


def ordered(scores: Float[Tensor, "*any"]) -> Int[Tensor, "*any"]:
    """Return int32 keys in the order of the scores as float32; they mean nothing where a score is undefined."""
    # The bits of a float order as an integer does where it is positive; -0.0 has to become 0.0.
    bits = (scores.float() + 0.0).view(torch.int32)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def above(scores: Float[Tensor, "*any"], key: int) -> Bool[Tensor, "*any"]:
    """Whether each score has a larger key."""
    return (ordered(scores) > key) & ~scores.isnan()


def equals(scores: Float[Tensor, "*any"], key: int) -> Bool[Tensor, "*any"]:
    """Whether each score has this key."""
    return (ordered(scores) == key) & ~scores.isnan()


def members(scores: Scores, end: Threshold) -> Iterator[tuple[Bool[Tensor, " _unit"], Float[Tensor, " _unit"]]]:
    """Yield for each site which of its units are among the highest, and the scores of all of them."""
    room = end.room
    for piece in scores.pieces():
        mask, ties = above(piece, end.key), equals(piece, end.key).nonzero().flatten()[:room]
        mask[ties] = True
        room -= len(ties)
        yield mask, piece


def _defined(scores: Float[Tensor, " _unit"]) -> Int[Tensor, " _defined"]:
    return ordered(scores[~scores.isnan()])


def _histogram(numbers: Int[Tensor, " k"], lowest: int) -> Int[Tensor, " bin"]:
    return torch.bincount(numbers - lowest, minlength=_BINS).cpu()


def _bin(counts: Int[Tensor, " bin"], count: int) -> tuple[int, int]:
    """The bin in which the `count`-th largest lies, and its place in it, counted from 1."""
    from_above = counts.flip(0).cumsum(0)
    place = int(torch.searchsorted(from_above, count))
    before = int(from_above[place - 1]) if place else 0
    return len(counts) - 1 - place, count - before
