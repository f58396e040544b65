"""A prompt and all that may follow it in one row: each branch sees the prompt and itself, and nothing is cached.

Needs a mask of its own, which windowed attention would have to know about: models with windows go through the cache
(transformers-notes, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from evenhand.lm.logits import forward, padded, positions
from evenhand.lm.model import LM
from evenhand.lm.shared import Tokens

Branches = tuple[Tokens, Sequence[Tokens]]
"""A prompt and what is fed after it."""


def packable(lm: LM) -> bool:
    """Whether this causal model's attention is full and takes a mask, so that the mask alone decides what is seen."""
    config = lm.model.config
    layers: Any = getattr(config, "layer_types", None) or ()
    full = lm.family.holes or getattr(config, "sliding_window", 0) is None
    masked = getattr(config, "_attn_implementation", None) in ("eager", "sdpa")
    return lm.kind == "causal" and masked and full and all(kind == "full_attention" for kind in layers)


def packed_logits(lm: LM, rows: Sequence[Branches], wanted: Sequence[tuple[int, int]]) -> Float[Tensor, "k vocab"]:
    """Return the logits at the wanted (row, place), counted along prompt and branches as they are concatenated.

    Rows with more than one branch need a model that is `packable`; others are plain sequences, for any causal model.
    """
    ids, mask = padded(lm, [sum(feeds, prompt) for prompt, feeds in rows])
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, "use_cache": False, **positions(lm, mask)}
    if any(len(feeds) > 1 for _, feeds in rows):
        branch, place = _layout(rows, ids.shape[1])
        inputs["attention_mask"] = _visible(branch.to(ids.device), lm.model.dtype)
        inputs["position_ids"] = place.to(ids.device)
    row, at = torch.tensor(wanted).unbind(1)
    return forward(lm, inputs, row, at)[0]


def _layout(rows: Sequence[Branches], length: int) -> tuple[Int[Tensor, "row pos"], Int[Tensor, "row pos"]]:
    """Return for every slot its branch (0: the prompt, −1: padding) and its position, which restarts in each branch."""
    branch, place = torch.full((len(rows), length), -1), torch.zeros((len(rows), length), dtype=torch.long)
    for i, (prompt, feeds) in enumerate(rows):
        start = len(prompt)
        branch[i, :start], place[i, :start] = 0, torch.arange(start)
        for number, fed in enumerate(feeds, 1):
            end = start + len(fed)
            branch[i, start:end], place[i, start:end] = number, len(prompt) + torch.arange(len(fed))
            start = end
    return branch, place


def _visible(branch: Int[Tensor, "row pos"], dtype: torch.dtype) -> Float[Tensor, "row 1 pos pos"]:
    """Additive mask: what came before, in the prompt or in the same branch."""
    same = (branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None])
    hidden = ~same.tril()
    return torch.zeros(hidden.shape, dtype=dtype, device=branch.device).masked_fill(hidden, torch.finfo(dtype).min)[
        :, None
    ]
