"""What a model says behind each of several prefixes at the places of a pass that it has just made.

Of a pass without cache the very rows run again, over the cached states of the prefix, which is read once for all of
them; where attention has windows, each row behind a prefix of its own. What a batch reads over a cache is not read
again for every token that is added: the rows behind a prefix have a cache of their own, which is kept with that of the
batch and follows its rows wherever these go (`accompany`).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from evenhand.lm.batches.logits import forward_to_learn, padded, positions
from evenhand.lm.batches.remembering import accompany, companion_of
from evenhand.lm.batches.shared import branches
from evenhand.lm.model import LM

Tokens = tuple[int, ...]


def behind(prefix: Tokens, read: Tokens, starts: frozenset[int]) -> Tokens:
    """Return the prefix and what was read; a start token stays in front."""
    first = 1 if read and read[0] in starts else 0
    return read[:first] + prefix + read[first:]


@dataclass(frozen=True, eq=False)
class Behind:
    """Caches of the rows behind each prefix, and which of their slots are no padding."""

    prefixes: tuple[Tokens, ...]
    starts: frozenset[int]
    caches: tuple[Any, ...]
    masks: tuple[Int[Tensor, "row _past"], ...]

    def select(self, indices: Int[Tensor, " row"]) -> Behind:
        """Return these rows."""
        caches = tuple(branches(cache, indices) for cache in self.caches)
        masks = tuple(mask[indices.to(mask.device)] for mask in self.masks)
        return Behind(self.prefixes, self.starts, caches, masks)

    def read(
        self, lm: LM, ids: Int[Tensor, "row new"], mask: Int[Tensor, "row new"], rows: Int[Tensor, " k"],
        at: Int[Tensor, " k"],
    ) -> tuple[Behind, list[Float[Tensor, "k vocab"]]]:  # fmt: skip
        """Return it with these tokens read, and the logits at (row, place among these tokens) behind each prefix."""
        caches, masks, found = tuple(map(_own, self.caches)), list[Tensor](), list[Tensor]()
        for cache, past in zip(caches, self.masks, strict=True):
            masks.append(torch.cat([past, mask], dim=1))
            found.append(_run(lm, cache, ids, masks[-1], rows, at))
        return Behind(self.prefixes, self.starts, caches, tuple(masks)), found


def begin(
    lm: LM, prefixes: Sequence[Tokens], starts: frozenset[int], ids: Int[Tensor, "row new"],
    mask: Int[Tensor, "row new"], rows: Int[Tensor, " k"], at: Int[Tensor, " k"], keep: bool,
) -> tuple[Behind, list[Float[Tensor, "k vocab"]]]:  # fmt: skip
    """Read rows, padded on either side, behind each prefix; return them (with `keep`), and the logits at these places.

    The new rows are padded on the left, so that windows of attention, which count slots, see no hole.
    """
    from transformers import DynamicCache

    texts = [tuple(int(i) for i in row[real]) for row, real in zip(ids.cpu(), mask.bool().cpu(), strict=True)]
    caches, masks, found = list[Any](), list[Tensor](), list[Tensor]()
    from_end = (mask.shape[1] - mask.int().flip(1).argmax(1) - 1).to(at.device)[rows] - at
    for prefix in prefixes:
        longer, here = padded(lm, [behind(prefix, text, starts) for text in texts], left=True)
        cache = DynamicCache(config=lm.model.config) if keep else None
        found.append(_run(lm, cache, longer, here, rows, longer.shape[1] - 1 - from_end))
        caches.append(cache)
        masks.append(here)
    return Behind(tuple(prefixes), starts, tuple(caches), tuple(masks)), found


def _run(
    lm: LM, cache: Any, ids: Int[Tensor, "row new"], mask: Int[Tensor, "row all"], rows: Int[Tensor, " k"],
    at: Int[Tensor, " k"],
) -> Float[Tensor, "k vocab"]:  # fmt: skip
    places = {name: value[:, -ids.shape[1] :] for name, value in positions(lm, mask).items()}
    inputs = {"input_ids": ids, "attention_mask": mask, **places}
    return _logits(lm, inputs, cache, rows, at)


def _logits(
    lm: LM, inputs: dict[str, Any], cache: Any, rows: Int[Tensor, " k"], at: Int[Tensor, " k"]
) -> Float[Tensor, "k vocab"]:
    inputs = inputs | ({"use_cache": False} if cache is None else {"past_key_values": cache, "use_cache": True})
    # Read anew, a text would be all prompt; edits that tell the two apart are to see no difference.
    inputs["said"] = torch.zeros_like(inputs["input_ids"], dtype=torch.bool)
    with torch.no_grad():
        return forward_to_learn(lm, inputs, rows, at)[0]


def in_front(
    lm: LM, prefix: Tokens, inputs: dict[str, Any], rows: Int[Tensor, " k"], at: Int[Tensor, " k"], start: bool
) -> Float[Tensor, "k vocab"]:
    """Return the logits at these places of a pass without cache, padded on the right or packed, with a prefix in front.

    It is read once for all rows. With `start` every row begins with the same start token, which stays before it.
    Attention must be full: what a place sees besides is what it saw.
    """
    from transformers import DynamicCache

    ids, mask, first = inputs["input_ids"], inputs["attention_mask"], int(start)
    before = torch.cat([ids[0, :first], torch.tensor(prefix, device=ids.device)])[None]
    cache, last = DynamicCache(config=lm.model.config), torch.zeros(1, dtype=torch.long)
    ahead = _run(lm, cache, before, torch.ones_like(before), last, last + before.shape[1] - 1)
    found = ahead.expand(len(rows), -1)  # what follows a start token alone
    here = (at >= first).nonzero().flatten()
    if not len(here):
        return found
    fed = {"input_ids": ids[:, first:]}
    if mask.ndim == 4:
        seen = mask[:, :, first:, first:]
        fed["attention_mask"] = torch.cat([seen.new_zeros(*seen.shape[:3], before.shape[1]), seen], dim=3)
    else:
        seen = mask[:, first:]
        fed["attention_mask"] = torch.cat([seen.new_ones(len(seen), before.shape[1]), seen], dim=1)
    if "position_ids" in inputs:
        fed["position_ids"] = inputs["position_ids"][:, first:] + len(prefix)
    many = branches(cache, torch.zeros(len(ids), dtype=torch.long, device=ids.device))
    logits = _logits(lm, fed, many, rows[here], at[here] - first)
    if len(here) == len(rows):
        return logits
    return found.index_copy(0, here.to(found.device), logits)


def _own(cache: Any) -> Any:
    """A cache that can grow while this one stays: layers only ever replace their tensors."""
    new = copy.copy(cache)
    new.layers = [copy.copy(layer) for layer in cache.layers]
    return new


def read_behind(
    lm: LM, inputs: dict[str, Any], rows: Int[Tensor, " k"], at: Int[Tensor, " k"], prefixes: tuple[Tokens, ...],
    starts: frozenset[int], full: bool,
) -> list[Float[Tensor, "k vocab"]] | None:  # fmt: skip
    """Return the logits behind each prefix at the places of a pass that has just been made.

    None where they have to be read anew: over a cache that began otherwise. What was read must have been remembered
    with a cache. `full`: attention is full, so that one reading of a prefix serves all rows.
    """
    ids, mask, cache = inputs["input_ids"], inputs["attention_mask"], inputs.get("past_key_values")
    if cache is None:
        opened = {int(i) for i in ids[:, 0].unique()}
        alike = not opened & starts or len(opened) == 1
        if full and alike and (mask.ndim == 4 or bool(mask[:, 0].all())):
            return [in_front(lm, prefix, inputs, rows, at, bool(opened & starts)) for prefix in prefixes]
        return begin(lm, prefixes, starts, ids, mask, rows, at, False)[1] if mask.ndim == 2 else None
    known = companion_of(cache)
    if isinstance(known, Behind) and (known.prefixes, known.starts) == (prefixes, starts):
        grown, found = known.read(lm, ids, mask[:, -ids.shape[1] :], rows, at)
    elif ids.shape == mask.shape and bool(mask[:, -1].all()):
        grown, found = begin(lm, prefixes, starts, ids, mask, rows, at, True)
    else:
        return None
    accompany(cache, grown)
    return found
