"""Greedy answers with one plain forward per token: no cache, no padding, no batch."""

from __future__ import annotations

import torch

from evenhand.lm.model import LM
from evenhand.lm.tokens import encode


def plain_greedy(lm: LM, prompt: str, most: int) -> tuple[int, ...]:
    """Return the likeliest tokens one by one, up to an end token (left out)."""
    ids, out = list(encode(lm, prompt).ids), []
    for _ in range(most):
        if lm.kind == "causal":
            inputs = {"input_ids": torch.tensor([ids + out])}
        else:
            start = int(lm.model.config.decoder_start_token_id)
            inputs = {"input_ids": torch.tensor([ids]), "decoder_input_ids": torch.tensor([[start, *out]])}
        with torch.no_grad():
            token = int(lm.model(**inputs, use_cache=False).logits[0, -1].argmax())
        if token == lm.tokenizer.eos_token_id:
            break
        out.append(token)
    return tuple(out)
