"""One forward pass with logits only where they are wanted, and the log-likelihoods in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from evenhand.core.errors import CannotRun
from evenhand.lm.model import LM
from evenhand.lm.tokens import pad_id

_CHUNK = 1 << 22
"""Logits turned to fp32 at once: 16 MiB, so that a softmax over a large vocabulary stays small beside the model."""


def padded(
    lm: LM, rows: Sequence[Sequence[int]], left: bool = False
) -> tuple[Int[Tensor, "row pos"], Int[Tensor, "row pos"]]:
    """Return token ids filled up to the longest row, and the mask that is 1 on real tokens."""
    longest, fill = max(len(row) for row in rows), pad_id(lm)
    ids, mask = [], []
    for row in rows:
        gap = longest - len(row)
        ids.append([fill] * gap + list(row) if left else list(row) + [fill] * gap)
        mask.append([0] * gap + [1] * len(row) if left else [1] * len(row) + [0] * gap)
    return torch.tensor(ids, device=lm.device), torch.tensor(mask, device=lm.device)


def after(prompts: Sequence[int], mask: Int[Tensor, "row pos"]) -> dict[str, Bool[Tensor, "row pos"]]:
    """Return which tokens of rows padded on the right come after so many of their prompts, as argument of `LM.run`."""
    place = torch.arange(mask.shape[1], device=mask.device)
    return {"said": place >= torch.tensor([*prompts], device=mask.device)[:, None]}


def positions(lm: LM, mask: Int[Tensor, "row pos"]) -> dict[str, Int[Tensor, "row pos"]]:
    """Return `position_ids` counted over real tokens, as keyword argument; nothing for models that take none."""
    if not lm.family.positions:
        return {}
    return {"position_ids": (mask.cumsum(1) - 1).clamp_min(0) + first_position(lm)}


def first_position(lm: LM) -> int:
    """RoBERTa counts positions from one past its padding id."""
    return int(lm.model.config.pad_token_id) + 1 if lm.family.positions_after_padding else 0


def context_length(lm: LM) -> int | None:
    """Return the number of tokens the model can see at once; None where nothing limits it (T5).

    Under an edit of decoding without those of its longest prefix.
    """
    if not lm.family.positions:
        return None
    declared: Any = getattr(lm.model.config, "max_position_embeddings", None)
    taken = 0 if lm.decoding is None else lm.decoding.taken
    return None if declared is None else int(declared) - first_position(lm) - taken


def vocabulary(lm: LM) -> int:
    """Return the number of logits per position."""
    return int(lm.model.config.vocab_size)


class NoneFits(CannotRun):
    """Nothing of what is asked fits the model's context."""


def check_length(lm: LM, tokens: int, what: str, error: type[CannotRun] = CannotRun) -> None:
    """Raise CannotRun when so many tokens do not fit the model's context."""
    limit = context_length(lm)
    if limit is not None and tokens > limit:
        raise error(
            f"{what} has {tokens} tokens, {lm.identity.source} sees at most {limit} at once; shorten it, or use a "
            "model with a longer context"
        )


def fitting(lm: LM, lengths: Sequence[int], what: str) -> list[bool]:
    """Return which of these numbers of tokens fit the model's context; `lm.notify` is told of those that do not.

    Raises NoneFits where none does.
    """
    limit = context_length(lm)
    fits = [limit is None or length <= limit for length in lengths]
    if lengths and not any(fits):
        check_length(lm, min(lengths), f"every {what}: the shortest", NoneFits)
    if not all(fits):
        lm.notify(
            f"{len(fits) - sum(fits)} of {len(fits)} times a {what} is longer than the {limit} tokens that "
            f"{lm.identity.source} sees at once; what is asked there stays undefined"
        )
    return fits


def forward(
    lm: LM, inputs: dict[str, Any], rows: Int[Tensor, " k"], at: Int[Tensor, " k"]
) -> tuple[Float[Tensor, "k vocab"], Any]:
    """Run the model and return the logits at the wanted (row, position) pairs, in the model's dtype, and its output.

    The pairs are gathered before the output embedding, so no other logits are ever computed; everything a family does
    before it (scale, projection, transform) or after it (soft-cap) happens as always. Under an edit of decoding they
    are the logarithms, in fp32, of the probabilities that it makes of them.
    """
    with torch.no_grad():
        logits, output = forward_to_learn(lm, inputs, rows, at)
    return (logits if lm.decoding is None else lm.decoding.logits(lm, inputs, rows, at, logits)), output


def forward_to_learn(
    lm: LM, inputs: dict[str, Any], rows: Int[Tensor, " k"], at: Int[Tensor, " k"]
) -> tuple[Float[Tensor, "k vocab"], Any]:
    """Do what `forward` does, with the graph where gradients are enabled."""
    rows, at = rows.to(lm.device), at.to(lm.device)

    def gather(module: Any, args: tuple[Tensor, ...]) -> tuple[Any, ...]:
        hidden = args[0]
        return (hidden[rows.to(hidden.device), at.to(hidden.device)][None], *args[1:])

    hook = lm.head.register_forward_pre_hook(gather)
    try:
        output = lm.run(inputs)
    finally:
        hook.remove()
    return output.logits[0], output


def log_softmax(logits: Float[Tensor, "k vocab"]) -> Float[Tensor, "k vocab"]:
    """Return the log-softmax in fp32 whatever the dtype of the logits."""
    return torch.log_softmax(logits, dim=-1, dtype=torch.float32)


def log_norm(logits: Float[Tensor, "k vocab"]) -> Float[Tensor, " k"]:
    """Return log Σ exp over the vocabulary in fp32, a few rows at a time."""
    step = max(1, _CHUNK // logits.shape[-1])
    return torch.cat([part.float().logsumexp(-1) for part in torch.split(logits, step)])


def log_likelihood(
    logits: Float[Tensor, "k vocab"], row: Int[Tensor, " target"], token: Int[Tensor, " target"]
) -> Float[Tensor, " target"]:
    """Return log p of `token[i]` under the logits in `row[i]`, fp32."""
    row, token = row.to(logits.device), token.to(logits.device)
    return logits[row, token].float() - log_norm(logits)[row]


def none_likelier(
    logits: Float[Tensor, "*variant k vocab"], row: Int[Tensor, " target"], token: Int[Tensor, " target"]
) -> Bool[Tensor, "*variant target"]:
    """Return whether `token[i]` is the most likely one, or one of several, under the logits in `row[i]`."""
    row, token = row.to(logits.device), token.to(logits.device)
    return logits[..., row, token] >= logits.amax(-1)[..., row]


def divergence(base: Float[Tensor, "k vocab"], other: Float[Tensor, "variant k vocab"]) -> Float[Tensor, "variant k"]:
    """Return KL(base ‖ other) in nats at each position, fp32, a few positions at a time; 0 for equal logits."""
    step = max(1, _CHUNK // (base.shape[-1] * (1 + len(other))))
    pieces: list[Tensor] = []
    for start in range(0, len(base), step):
        ours, theirs = base[start : start + step].float(), other[:, start : start + step].float()
        shift = theirs.logsumexp(-1) - ours.logsumexp(-1)
        pieces.append((ours.softmax(-1) * (ours - theirs)).sum(-1) + shift)
    return torch.cat(pieces, dim=1).clamp_min(0)
