"""From scores to sets of units: top, set difference, votes, and random sets of the same shape."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from random import Random

import torch

from evenhand.core.component import Layout, Selection, Site, called
from evenhand.core.errors import UsageError
from evenhand.core.highest import Scores, count_of, nested


def top(scores: Scores, count: int | None = None, share: float | None = None) -> Selection:
    """Select the `count` highest-scored units, or `share` of the space (floored); ties break by address.

    NaN scores are never selected; asking for more units than have a score raises.
    """
    return nested(scores, [_count(scores.layout.size, count, share)])[0]


def _count(size: int, count: int | None, share: float | None) -> int:
    if (count is None) == (share is None):
        raise UsageError("give either a count or a share of units, not both")
    if share is not None and not 0 <= share <= 1:
        raise UsageError(f"a share lies between 0 and 1, not {share}")
    k = count if count is not None else count_of(share or 0.0, size)
    if not 0 <= k <= size:
        raise UsageError(f"asked for {k} units of a space of {size}")
    return k


def in_layers(selection: Selection, layers: Collection[int]) -> Selection:
    """Keep the units whose layer (counted from 0 through all stacks) is in `layers`."""
    each = zip(selection.pieces(), selection.layout.site_layers(), strict=True)
    return Selection.joined(selection.layout, [units if layer in layers else units[:0] for units, layer in each])


def vote(selections: Sequence[Selection], at_least: int | None = None) -> Selection:
    """Keep the units found in at least `at_least` of the selections (default: all, the intersection)."""
    if not selections:
        raise UsageError("no selections to vote over")
    need = len(selections) if at_least is None else at_least
    if not 1 <= need <= len(selections):
        raise UsageError(f"a vote of {need} needs between 1 and {len(selections)} selections")
    if any(s.layout != selections[0].layout for s in selections):
        raise UsageError("selections of different models or spaces cannot be combined")
    units = torch.cat([s.units for s in selections]).sort().values
    # Ascending, each selection holding a unit once: it is in `need` of them where it still stands `need` - 1 on.
    often = units[need - 1 :] == units[: len(units) - need + 1]
    return Selection.of(selections[0].layout, units[need - 1 :][often])


def matched_random(selection: Selection, generator: torch.Generator) -> Selection:
    """Draw a random selection with the same number of units in every site, disjoint from `selection` where it fits.

    Where a site has too few other units, the draw is from the whole site.
    """
    pieces: list[torch.Tensor] = []
    for site, units in zip(selection.layout.sites, selection.pieces(), strict=True):
        if not len(units):
            pieces.append(units)
            continue
        free = torch.ones(site.units, dtype=torch.bool)
        free[units] = False
        pool = free.nonzero().flatten() if site.units >= 2 * len(units) else torch.arange(site.units)
        pieces.append(pool[torch.randperm(len(pool), generator=generator)[: len(units)]].sort().values)
    return Selection.joined(selection.layout, pieces)


def random(layout: Layout, counts: Sequence[int], seed: int) -> list[Selection]:
    """Draw nested sets of these sizes uniformly from the whole space: the first units of one random order.

    Only the largest set is drawn, whatever the size of the space.
    """
    drawn = Random(seed).sample(range(layout.size), _count(layout.size, max(counts, default=0), None))
    return [Selection.of(layout, drawn[:count]) for count in counts]


def describe(selection: Selection) -> str:
    """Return one line: how many units, which share of the space, and how many per layer.

    Of single weights the shares are what counts: of every layer and every kind of matrix that has some.
    """
    total = amount(selection)
    if selection.layout.space != "weight":
        layers = ", ".join(f"{layer}: {n}" for layer, n in selection.per_layer().items() if n) or "none"
        return f"{total}; {layers}"
    layers = _shares(selection, lambda site: f"{site.stack}.{site.layer}")
    return f"{total}; {layers}; {_shares(selection, lambda site: site.path.split(f'.{site.layer}.', 1)[-1])}"


def amount(selection: Selection) -> str:
    """Return how many units and which share of the space: `12 of 2,112 neuron units (0.568%)`."""
    size = selection.layout.size
    return f"{len(selection):,} of {size:,} {called(selection.layout.space)} ({_percent(selection.share, 3)})"


def _percent(share: float, digits: int) -> str:
    """A percentage with so many decimals, and with more where there would be no two figures."""
    more = 1 - math.floor(math.log10(100 * share)) if share > 0 else 0
    return f"{100 * share:.{max(digits, more)}f}%"


def _shares(selection: Selection, name: Callable[[Site], str]) -> str:
    """Which share is selected of all sites of the same name; those of which none is are left out."""
    chosen: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for site, units in zip(selection.layout.sites, selection.pieces(), strict=True):
        chosen[name(site)] += len(units)
        sizes[name(site)] += site.units
    return (
        ", ".join(f"{each}: {_percent(chosen[each] / size, 2)}" for each, size in sizes.items() if chosen[each])
        or "none"
    )
