"""A task vector the usual way: torch's AdamW on all weights, one text at a time, and then the difference, negated."""

from __future__ import annotations

import torch


def negated(model, tokenizer, batches, lr, clip):
    """θ_0 − θ_ft by name, after one step per batch of texts by mean over texts of the mean −log p of their tokens."""
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    for batch in batches:
        loss = 0.0
        for text in batch:
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            logits = torch.log_softmax(model(input_ids=torch.tensor([[start, *ids]])).logits[0], -1)
            loss = loss - sum(logits[i, token] for i, token in enumerate(ids)) / len(ids) / len(batch)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimiser.step()
    found = {name: before[name] - parameter.detach() for name, parameter in model.named_parameters()}
    return {name: change for name, change in found.items() if change.any()}
