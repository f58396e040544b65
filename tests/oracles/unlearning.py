"""Unlearning's objectives the slow and obvious way: one text at a time, one token at a time, the whole vocabulary."""

from __future__ import annotations

import math

import torch


def selected(lm, text, spans):
    """Places of the tokens that overlap a span, by comparing every character."""
    out = lm.tokenizer(text, return_offsets_mapping=True)
    ids, offsets = out["input_ids"], out["offset_mapping"]
    characters = {c for start, end in spans for c in range(start, end)}
    return ids, [i for i, (a, b) in enumerate(offsets) if characters & set(range(a, b))]


def log_probabilities(model, ids):
    return torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0].double(), -1)


def causal(lm, text, spans):
    """log p of each selected token after everything before it, the start token first."""
    ids, places = selected(lm, text, spans)
    ids = [lm.tokenizer.eos_token_id, *ids]
    return [log_probabilities(lm.model, ids[: i + 1])[-1, ids[i + 1]] for i in places]


def masked(lm, text, spans):
    """log p of each selected token in the text in which all of them are masked."""
    ids, places = selected(lm, text, spans)
    hidden = [lm.tokenizer.mask_token_id if i in places else token for i, token in enumerate(ids)]
    return [log_probabilities(lm.model, hidden)[i, ids[i]] for i in places]


def forget(formula, now, before, beta, gamma):
    """The formulas of the table, for one text's log-probabilities."""
    nll, nll_ref = -sum(now) / len(now), -sum(before) / len(before)
    if formula == "ascent":
        return sum(now) / len(now)
    if formula == "wga":
        return sum(math.exp(each.item()) ** beta * each for each in now) / len(now)
    inside = beta * (nll - nll_ref) if formula == "npo" else beta * nll - gamma
    return -(2 / beta) * torch.log(torch.sigmoid(inside))


def retained(lm, model_before, text):
    """Mean over the tokens of a text of −log p and of KL(before ‖ now), causal."""
    ids = [lm.tokenizer.eos_token_id, *lm.tokenizer(text)["input_ids"]]
    now, before = (log_probabilities(model, ids) for model in (lm.model, model_before))
    nll = [-now[i, ids[i + 1]] for i in range(len(ids) - 1)]
    kl = [(before[i].exp() * (before[i] - now[i])).sum() for i in range(len(ids) - 1)]
    return sum(nll), sum(kl), len(nll)
