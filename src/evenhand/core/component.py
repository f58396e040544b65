"""Addresses of the parts of a model: sites (writer matrices), the units in them, and scores over units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from evenhand.core.errors import UsageError

Space = Literal["neuron", "head", "row", "weight"]


@dataclass(frozen=True, slots=True)
class Site:
    """One writer matrix: `units` blocks of `width` input columns each (a neuron: 1, a head: head_dim)."""

    path: str
    """Dotted module path, such as `model.layers.3.mlp.down_proj`."""
    layer: int
    units: int
    width: int = 1
    stack: str = "decoder"

    def columns(self, units: Int[Tensor, " k"]) -> Int[Tensor, " k_width"]:
        """Return the input columns of the writer that these units occupy."""
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

    def split(self, flat: Tensor) -> Iterator[tuple[Site, Tensor]]:
        """Yield each site with its piece of a tensor over all units."""
        start = 0
        for site in self.sites:
            yield site, flat[start : start + site.units]
            start += site.units

    def layers(self) -> Int[Tensor, " unit"]:
        """Return the layer (counted through all stacks in order of appearance) of every unit."""
        order = {key: i for i, key in enumerate(dict.fromkeys((s.stack, s.layer) for s in self.sites))}
        return torch.cat([torch.full((s.units,), order[s.stack, s.layer]) for s in self.sites])

    def to_json(self) -> dict[str, Any]:
        """Return the layout as plain data; `Layout.from_json` reads it back."""
        return {"space": self.space, "sites": [[s.path, s.layer, s.units, s.width, s.stack] for s in self.sites]}

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


@dataclass(frozen=True, eq=False)
class Selection:
    """A set of units of one layout, with set algebra."""

    layout: Layout
    mask: Bool[Tensor, " unit"]

    def __post_init__(self) -> None:
        if self.mask.shape != (self.layout.size,) or self.mask.dtype != torch.bool:
            raise ValueError(f"mask must be bool of shape ({self.layout.size},)")

    @staticmethod
    def of(layout: Layout, units: Int[Tensor, " k"] | list[int]) -> Selection:
        """Return the selection of these unit addresses."""
        mask = torch.zeros(layout.size, dtype=torch.bool)
        mask[torch.as_tensor(units, dtype=torch.long)] = True
        return Selection(layout, mask)

    @property
    def units(self) -> Int[Tensor, " k"]:
        """Addresses of the selected units, ascending."""
        return self.mask.nonzero().flatten()

    def __len__(self) -> int:
        return int(self.mask.sum())

    @property
    def share(self) -> float:
        """Selected share of the space."""
        return len(self) / self.layout.size if self.layout.size else 0.0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Selection) and self.layout == other.layout and bool((self.mask == other.mask).all())

    def __hash__(self) -> int:
        return hash((self.layout, self.mask.numpy().tobytes()))

    def _same(self, other: Selection) -> None:
        if self.layout != other.layout:
            raise UsageError("selections of different models or spaces cannot be combined")

    def __and__(self, other: Selection) -> Selection:
        self._same(other)
        return Selection(self.layout, self.mask & other.mask)

    def __or__(self, other: Selection) -> Selection:
        self._same(other)
        return Selection(self.layout, self.mask | other.mask)

    def __sub__(self, other: Selection) -> Selection:
        self._same(other)
        return Selection(self.layout, self.mask & ~other.mask)

    def by_site(self) -> Iterator[tuple[Site, Int[Tensor, " k"]]]:
        """Yield each site that has selected units, with their numbers inside the site."""
        for site, mask in self.layout.split(self.mask):
            if bool(mask.any()):
                yield site, mask.nonzero().flatten()

    def per_layer(self) -> dict[str, int]:
        """Return how many units are selected in each layer, as `stack.layer` → count, empty layers included."""
        counts: dict[str, int] = {}
        for site, mask in self.layout.split(self.mask):
            key = f"{site.stack}.{site.layer}"
            counts[key] = counts.get(key, 0) + int(mask.sum())
        return counts

    def jaccard(self, other: Selection) -> float:
        """Return |A ∩ B| / |A ∪ B|; NaN when both are empty."""
        union = len(self | other)
        return len(self & other) / union if union else float("nan")
