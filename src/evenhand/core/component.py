"""Addresses of the parts of a model: sites (matrices), the units in them, scores over units, and sets of units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from evenhand.core.errors import UsageError

Space = Literal["neuron", "head", "value", "row", "weight"]
"""Input columns of writers: of the MLP one by one (`neuron`), of attention by the head (`head`) or one by one
(`value`); of every linear map inside and outside the blocks an output feature (`row`), inside them an entry
(`weight`, numbered row by row as [out, in] whichever way it is stored)."""


def called(space: str) -> str:
    """Return what the units of a space are called: `neuron units`, but `weights`."""
    return "weights" if space == "weight" else f"{space} units"


@dataclass(frozen=True, slots=True)
class Site:
    """One matrix: `units` blocks of `width` input columns each (a neuron: 1, a head: head_dim), rows or entries."""

    path: str
    """Dotted module path, such as `model.layers.3.mlp.down_proj`."""
    layer: int
    units: int
    width: int = 1
    stack: str = "decoder"
    sees: str = ""
    """The stack whose positions it is applied to, where that is another (keys and values of cross-attention)."""

    def columns(self, units: Int[Tensor, " k"]) -> Int[Tensor, " k_width"]:
        """Return the columns (rows, entries) that these units occupy."""
        return (units[:, None] * self.width + torch.arange(self.width, device=units.device)).flatten()


@dataclass(frozen=True)
class Layout:
    """All sites of one space in order; a unit's address is its place in their concatenation."""

    space: Space
    sites: tuple[Site, ...]

    @property
    def size(self) -> int:
        """Number of units in the space."""
        return sum(site.units for site in self.sites)

    def starts(self) -> list[int]:
        """Return the address of each site's first unit."""
        return [0, *accumulate(site.units for site in self.sites)][:-1]

    def split(self, flat: Tensor) -> Iterator[tuple[Site, Tensor]]:
        """Yield each site with its piece of a tensor over all units."""
        for start, site in zip(self.starts(), self.sites, strict=True):
            yield site, flat[start : start + site.units]

    def site_layers(self) -> list[int]:
        """Return the layer of every site, counted through all stacks in order of appearance."""
        order = {key: i for i, key in enumerate(dict.fromkeys((s.stack, s.layer) for s in self.sites))}
        return [order[s.stack, s.layer] for s in self.sites]

    def layers(self) -> Int[Tensor, " unit"]:
        """Return the layer of every unit, counted as in `site_layers`."""
        return torch.cat([torch.full((s.units,), n) for s, n in zip(self.sites, self.site_layers(), strict=True)])

    def to_json(self) -> dict[str, Any]:
        """Return the layout as plain data; `Layout.from_json` reads it back."""
        rows = [[s.path, s.layer, s.units, s.width, s.stack, *([s.sees] if s.sees else [])] for s in self.sites]
        return {"space": self.space, "sites": rows}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Layout:
        """Read what `to_json` wrote."""
        return Layout(data["space"], tuple(Site(*row) for row in data["sites"]))


@dataclass(frozen=True)
class Attribution:
    """A score per unit; larger means the unit carries more of what the locator looks for."""

    layout: Layout
    scores: Float[Tensor, " unit"]
    locator: str = ""
    notes: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        if self.scores.shape != (self.layout.size,):
            raise ValueError(f"scores have shape {tuple(self.scores.shape)}, the layout has {self.layout.size} units")

    def pieces(self) -> Iterator[Float[Tensor, " _unit"]]:
        """Yield the scores of each site, in the order of the layout."""
        return (piece for _, piece in self.layout.split(self.scores))


@dataclass(frozen=True, eq=False)
class Selection:
    """A set of units of one layout, with set algebra; held as sorted addresses, because a model has many entries."""

    layout: Layout
    units: Int[Tensor, " k"]
    """Addresses of the selected units (int64), ascending, each once."""

    def __post_init__(self) -> None:
        units = self.units
        if units.dtype != torch.int64 or (len(units) > 1 and not bool((units[1:] > units[:-1]).all())):
            raise ValueError("units must be int64 addresses in ascending order, each once; use Selection.of")
        if len(units) and not 0 <= int(units[0]) <= int(units[-1]) < self.layout.size:
            raise ValueError(f"units must lie between 0 and {self.layout.size - 1}, the last of the layout")

    @staticmethod
    def of(layout: Layout, units: Int[Tensor, " k"] | list[int]) -> Selection:
        """Return the selection of these unit addresses, in whatever order."""
        return Selection(layout, _ascending(torch.as_tensor(units, dtype=torch.long).cpu()))

    @staticmethod
    def where(layout: Layout, mask: Bool[Tensor, " unit"]) -> Selection:
        """Return the selection of the units whose place in a mask over the layout is true."""
        if mask.shape != (layout.size,) or mask.dtype != torch.bool:
            raise ValueError(f"mask must be bool of shape ({layout.size},)")
        return Selection(layout, mask.nonzero().flatten().cpu())

    @staticmethod
    def joined(layout: Layout, pieces: Sequence[Int[Tensor, " _k"]]) -> Selection:
        """Return the selection of these units of each site, numbered inside the site, ascending."""
        starts = layout.starts()
        return Selection(layout, torch.cat([piece + start for piece, start in zip(pieces, starts, strict=True)]))

    @property
    def mask(self) -> Bool[Tensor, " unit"]:
        """Whether each unit of the layout is selected; not for `weight`, whose mask is as large as the model."""
        mask = torch.zeros(self.layout.size, dtype=torch.bool)
        mask[self.units] = True
        return mask

    def __len__(self) -> int:
        return len(self.units)

    @property
    def share(self) -> float:
        """Selected share of the space."""
        return len(self) / self.layout.size if self.layout.size else 0.0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Selection) and self.layout == other.layout and torch.equal(self.units, other.units)

    def __hash__(self) -> int:
        return hash((self.layout, self.units.numpy().tobytes()))

    def _same(self, other: Selection) -> None:
        if self.layout != other.layout:
            raise UsageError("selections of different models or spaces cannot be combined")

    def __and__(self, other: Selection) -> Selection:
        self._same(other)
        return Selection(self.layout, self.units[_among(self.units, other.units)])

    def __or__(self, other: Selection) -> Selection:
        self._same(other)
        return Selection(self.layout, _ascending(torch.cat([self.units, other.units])))

    def __sub__(self, other: Selection) -> Selection:
        self._same(other)
        return Selection(self.layout, self.units[~_among(self.units, other.units)])

    def pieces(self) -> list[Int[Tensor, " _k"]]:
        """Return for each site its selected units, numbered inside the site."""
        starts = self.layout.starts()
        ends = [int(end) for end in torch.searchsorted(self.units, torch.tensor([*starts[1:], self.layout.size]))]
        return [self.units[a:b] - start for a, b, start in zip([0, *ends], ends, starts, strict=False)]

    def by_site(self) -> Iterator[tuple[Site, Int[Tensor, " k"]]]:
        """Yield each site that has selected units, with their numbers inside the site."""
        for site, units in zip(self.layout.sites, self.pieces(), strict=True):
            if len(units):
                yield site, units

    def per_layer(self) -> dict[str, int]:
        """Return how many units are selected in each layer, as `stack.layer` → count, empty layers included."""
        counts: dict[str, int] = {}
        for site, units in zip(self.layout.sites, self.pieces(), strict=True):
            key = f"{site.stack}.{site.layer}"
            counts[key] = counts.get(key, 0) + len(units)
        return counts

    def jaccard(self, other: Selection) -> float:
        """Return |A ∩ B| / |A ∪ B|; NaN when both are empty."""
        both = len(self & other)
        union = len(self) + len(other) - both
        return both / union if union else float("nan")


def _ascending(units: Int[Tensor, " k"]) -> Int[Tensor, " _j"]:
    """These numbers in ascending order, each once."""
    units = units.sort().values
    return units[torch.cat([torch.ones(min(1, len(units)), dtype=torch.bool), units[1:] != units[:-1]])]


def _among(units: Int[Tensor, " k"], others: Int[Tensor, " j"]) -> Bool[Tensor, " k"]:
    """Whether each of some ascending numbers is among other ascending ones."""
    if not len(others):
        return torch.zeros(len(units), dtype=torch.bool)
    place = torch.searchsorted(others, units).clamp(max=len(others) - 1)
    return others[place] == units
