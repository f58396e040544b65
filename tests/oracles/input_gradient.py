"""Input × gradient the slow and obvious way: how fast an objective changes as the embedding of one token is scaled."""

from __future__ import annotations

import math

import torch

_STEP = 1e-4


def tokens(lm, text):
    """Ids after a start token, and the characters of each."""
    out = lm.tokenizer(text, return_offsets_mapping=True)
    return [lm.tokenizer.eos_token_id, *out["input_ids"]], [(0, 0), *out["offset_mapping"]]


def loss(lm, ids, embeddings):
    """Negative log-likelihood: each token after all before it."""
    logits = lm.model(inputs_embeds=embeddings[None]).logits[0]
    return -sum(torch.log_softmax(logits[i - 1], -1)[ids[i]] for i in range(1, len(ids)))


def state(lm, embeddings):
    """What goes into the output embedding, mean over the tokens."""
    return lm.model(inputs_embeds=embeddings[None], output_hidden_states=True).hidden_states[-1][0].mean(0)


@torch.no_grad()
def scores(lm, text, texts=(), neutral=()):
    """|embedding · gradient| of each token, of the loss, or with `texts` and `neutral` of the contrast between them."""
    table = lm.model.get_input_embeddings().weight
    means = [torch.stack([state(lm, table[tokens(lm, each)[0]]) for each in few]).mean(0) for few in (texts, neutral)
             if few]  # fmt: skip
    ids, _ = tokens(lm, text)

    def objective(place, factor):
        scale = torch.ones(len(ids), 1, dtype=table.dtype)
        scale[place] = factor
        embeddings = table[ids] * scale
        return state(lm, embeddings) @ (means[0] - means[1]) if means else loss(lm, ids, embeddings)

    return [abs(float(objective(i, 1 + _STEP) - objective(i, 1 - _STEP))) / (2 * _STEP) for i in range(len(ids))]


def highest(lm, text, words, share, values):
    """Words of the highest sums over their tokens, at least one."""
    _, offsets = tokens(lm, text)
    sums = {word: sum(v for v, (a, b) in zip(values, offsets, strict=True) if {*range(a, b)} & {*range(*word)})
            for word in words}  # fmt: skip
    return set(sorted(words, key=lambda word: sums[word], reverse=True)[: math.ceil(share * len(words))])
