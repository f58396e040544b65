"""The tokens behind a key–value cache, kept in the cache itself, so that they follow its rows wherever these go.

A step over a cache is given one token; whether it ends a word of several tokens can only be told by those before it.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Int
from torch import Tensor


def remember(cache: Any, read: Int[Tensor, "row all 2"]) -> None:
    """Keep what has been read (token, position) with a cache; beams, selected rows and cut ends keep theirs."""
    layer: Any = cache.layers[0]
    if not isinstance(layer, _Remembering):
        kind = cast("type", layer.__class__)
        remembering: Any = object.__new__(type(kind.__name__, (_Remembering, kind), {}))
        vars(remembering).update(vars(layer))
        cache.layers[0] = layer = remembering
    layer.read = read


def remembered(cache: Any, rows: int, past: int) -> Int[Tensor, "row past 2"]:
    """Return what was read into a cache that held `past` tokens; −1 where nobody kept it."""
    layer: Any = cache.layers[0]
    return layer.read if isinstance(layer, _Remembering) else torch.full((rows, past, 2), -1)


class _Remembering:
    """A cache layer that does to what was read what is done to its keys and values."""

    read: Tensor

    def batch_select_indices(self, indices: Tensor) -> None:
        getattr(super(), "batch_select_indices")(indices)  # noqa: B009
        self.read = self.read[indices.to(self.read.device)]

    def reorder_cache(self, beam_idx: Tensor) -> None:
        getattr(super(), "reorder_cache")(beam_idx)  # noqa: B009
        self.read = self.read[beam_idx.to(self.read.device)]

    def batch_repeat_interleave(self, repeats: int) -> None:
        getattr(super(), "batch_repeat_interleave")(repeats)  # noqa: B009
        self.read = self.read.repeat_interleave(repeats, dim=0)

    def crop(self, tokens_to_remove: int) -> None:
        getattr(super(), "crop")(tokens_to_remove)  # noqa: B009
        self.read = self.read[:, : self.read.shape[1] + tokens_to_remove]
