"""Prompts held in the key–value cache, and continuations that branch off them, in one batch."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from evenhand.core.errors import CannotRun, UsageError
from evenhand.lm.batches.logits import check_length, forward, padded, positions
from evenhand.lm.batches.resume import begun_once, blocks
from evenhand.lm.batches.variants import RowMasks
from evenhand.lm.model import LM

Tokens = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Shared:
    """Prompts of one batch, ready to be continued; never changed after it is opened.

    Causal: prompts are left-padded, continuations right-padded, so that sliding windows, which count slots, see no hole
    (transformers-notes, section 4). Encoder–decoder: the encoder has read the prompts, the decoder its start token.
    """

    lm: LM
    masks: RowMasks
    which: Int[Tensor, " row"]
    """Variant of each row."""
    mask: Int[Tensor, "row past"]
    """1 on the tokens of the (decoder's) past."""
    logits: Float[Tensor, "row vocab"]
    """After each prompt, in the model's dtype."""
    cache: Any
    """None when nothing will be continued."""
    encoded: Any = None
    encoder_mask: Int[Tensor, "row source"] | None = None

    @property
    def past(self) -> int:
        """Slots of the cache in use, padding included."""
        return self.mask.shape[1]

    def extend(
        self, rows: Sequence[int], tails: Sequence[Tokens], nodes: Sequence[int], at: Sequence[int]
    ) -> Float[Tensor, "k vocab"]:
        """Feed `tails[i]` after the prompt `rows[i]`; return the logits at position `at[j]` of tail `nodes[j]`."""
        lm, chosen = self.lm, torch.tensor(rows)
        ids, tail_mask = padded(lm, tails)
        here = chosen.to(ids.device)
        mask = torch.cat([self.mask[here], tail_mask], dim=1)
        longest = int(mask.sum(1).max())
        check_length(lm, longest, "a prompt with its continuation")
        inputs: dict[str, Any] = {"past_key_values": branches(self.cache, here), "use_cache": True}
        if lm.kind == "causal":
            places = {name: value[:, self.past :] for name, value in positions(lm, mask).items()}
            inputs |= {"input_ids": ids, "attention_mask": mask, **places}
        else:
            inputs |= {
                "encoder_outputs": encoder_output(self.encoded[here]),
                "attention_mask": None if self.encoder_mask is None else self.encoder_mask[here],
                "decoder_input_ids": ids,
                "decoder_attention_mask": mask,
            }
        with self.masks.rows(self.which[chosen]):
            return forward(lm, inputs, torch.tensor(nodes), torch.tensor(at))[0]


def share(lm: LM, prompts: Sequence[Tokens], masks: RowMasks, which: Sequence[int], keep: bool = True) -> Shared:
    """Read the prompts in one batch, row i as variant `which[i]`; without `keep` nothing is cached.

    Raises UsageError for an empty prompt, CannotRun for masked models and for prompts longer than the context.
    """
    if lm.kind == "masked":
        raise CannotRun(
            f"{lm.identity.source} is a masked model: it has no distribution over continuations; score options or "
            "whole texts (pseudo-log-likelihood), or use a causal or encoder–decoder model"
        )
    if not all(prompts):
        raise UsageError("a prompt has no tokens, so nothing predicts what follows; write a prompt")
    check_length(lm, max(len(prompt) for prompt in prompts), "a prompt")
    return (_causal if lm.kind == "causal" else _encoder_decoder)(lm, prompts, masks, torch.tensor(which), keep)


def _causal(lm: LM, prompts: Sequence[Tokens], masks: RowMasks, which: Int[Tensor, " row"], keep: bool) -> Shared:
    from transformers import DynamicCache

    ids, mask = padded(lm, prompts, left=True)
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, **positions(lm, mask)}
    inputs["use_cache"] = keep
    if keep:
        inputs["past_key_values"] = DynamicCache(config=lm.model.config)
    last = torch.full((len(ids),), ids.shape[1] - 1)
    begun = begun_once(lm, inputs, prompts, _unchanged(lm, masks, which, keep))
    with begun, masks.rows(which):
        logits, output = forward(lm, inputs, torch.arange(len(ids)), last)
    return Shared(lm, masks, which, mask, logits, output.past_key_values if keep else None)


def _encoder_decoder(
    lm: LM, prompts: Sequence[Tokens], masks: RowMasks, which: Int[Tensor, " row"], keep: bool
) -> Shared:
    from transformers import DynamicCache, EncoderDecoderCache

    config, n = lm.model.config, len(prompts)
    ids, mask = padded(lm, prompts)
    start = torch.full((n, 1), int(config.decoder_start_token_id), device=lm.device)
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": start}
    inputs["use_cache"] = keep
    if keep:
        inputs["past_key_values"] = EncoderDecoderCache(DynamicCache(config=config), DynamicCache(config=config))
    begun = begun_once(lm, inputs, prompts, _unchanged(lm, masks, which, keep))
    with begun, masks.rows(which):
        logits, output = forward(lm, inputs, torch.arange(n), torch.zeros(n, dtype=torch.long))
    cache = output.past_key_values if keep else None
    return Shared(lm, masks, which, torch.ones_like(start), logits, cache, output.encoder_last_hidden_state, mask)


def _unchanged(lm: LM, masks: RowMasks, which: Int[Tensor, " row"], keep: bool) -> int:
    """Blocks that rows of one prompt share; with a cache only the encoder's, because the decoder's have to fill it."""
    encoder = sum(stack == "encoder" for stack, _ in blocks(lm))
    return min(masks.start(which), encoder) if keep else masks.start(which)


def encoder_output(hidden: Tensor) -> Any:
    """Return what a decoder takes in place of an encoder's own output."""
    from transformers.modeling_outputs import BaseModelOutput

    return BaseModelOutput(last_hidden_state=hidden)  # pyright: ignore[reportArgumentType]


def branches(cache: Any, rows: Int[Tensor, " branch"], start: int = 0) -> Any:
    """Return a new cache holding these rows, for blocks from `start` on; the old one stays as it is.

    Layers only ever replace their tensors, so copies of the layer objects are enough and no tensor is copied twice.
    """
    new = copy.copy(cache)
    if hasattr(cache, "self_attention_cache"):
        new.self_attention_cache = branches(cache.self_attention_cache, rows)
        new.cross_attention_cache = branches(cache.cross_attention_cache, rows)
        new.is_updated = dict(cache.is_updated)
        return new
    new.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in new.layers[start:]:
        layer.batch_select_indices(rows)
    return new
