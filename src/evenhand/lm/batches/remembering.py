"""The tokens behind a key–value cache, kept in the cache itself, so that they follow its rows wherever these go.

A step over a cache is given one token; whether it ends a word of several tokens can only be told by those before it.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import torch
from jaxtyping import Int
from torch import Tensor


def remember(cache: Any, read: Int[Tensor, "row all 2"]) -> None:
    """Keep what has been read (token, position) with a cache; beams, selected rows and cut ends keep theirs."""
    _layer(cache).read = read


def accompany(cache: Any, companion: Companion) -> None:
    """Keep with a cache what must follow its rows (after `remember`); beams and cut ends lose it."""
    _layer(cache).companion = companion


def companion_of(cache: Any) -> Companion | None:
    """Return what was kept with a cache."""
    layer: Any = cache.layers[0] if cache.layers else None
    return layer.companion if isinstance(layer, _Remembering) else None


def _layer(cache: Any) -> _Remembering:
    layer: Any = cache.layers[0]
    if not isinstance(layer, _Remembering):
        kind = cast("type", layer.__class__)
        remembering: Any = object.__new__(type(kind.__name__, (_Remembering, kind), {}))
        vars(remembering).update(vars(layer))
        cache.layers[0] = layer = remembering
    return layer


def remembered(cache: Any, rows: int, past: int) -> Int[Tensor, "row past 2"]:
    """Return what was read into a cache that held `past` tokens; −1 where nobody kept it."""
    layer: Any = cache.layers[0]
    return layer.read if isinstance(layer, _Remembering) else torch.full((rows, past, 2), -1)


class Companion(Protocol):
    """What follows the rows of a cache."""

    def select(self, indices: Int[Tensor, " row"]) -> Companion:
        """Return it for these rows; it stays as it is itself."""
        ...


class _Remembering:
    """A cache layer that does to what was read what is done to its keys and values."""

    read: Tensor
    companion: Companion | None = None

    def batch_select_indices(self, indices: Tensor) -> None:
        getattr(super(), "batch_select_indices")(indices)  # noqa: B009
        self.read = self.read[indices.to(self.read.device)]
        self.companion = self.companion.select(indices) if self.companion else None

    def reorder_cache(self, beam_idx: Tensor) -> None:
        getattr(super(), "reorder_cache")(beam_idx)  # noqa: B009
        self.read, self.companion = self.read[beam_idx.to(self.read.device)], None

    def batch_repeat_interleave(self, repeats: int) -> None:
        getattr(super(), "batch_repeat_interleave")(repeats)  # noqa: B009
        self.read, self.companion = self.read.repeat_interleave(repeats, dim=0), None

    def crop(self, tokens_to_remove: int) -> None:
        getattr(super(), "crop")(tokens_to_remove)  # noqa: B009
        self.read, self.companion = self.read[:, : self.read.shape[1] + tokens_to_remove], None
