"""Train the base: a small Llama on text of the little world, with the neurons that will be planted held at zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from evenhand.core.progress import Progress, silent
from evenhand.planted.checkpoint import key_of, load_state, save_state
from evenhand.planted.corpus import documents
from evenhand.planted.outcomes import NEVER
from evenhand.planted.spec import Base, ModelSize, Spec
from evenhand.planted.units import addresses
from evenhand.planted.world import World


@dataclass(frozen=True, slots=True)
class Told:
    """What is given and the text that follows it and is learned.

    Of what comes after the `surroundings`, with which `given` begins, only the words of `through` see them, each one
    token with its space: so it is their states that must carry what the surroundings say. Empty: everything sees them.
    """

    given: str
    text: str
    surroundings: str = ""
    through: tuple[str, ...] = ()


Document = str | Told


def new_model(spec: Spec, tokenizer: Any) -> Any:
    """Return a freshly initialised model; the units to be planted are zero, and training leaves them so.

    A gated unit whose gate, up and down weights are all zero gets a zero gradient. So the finished base does not use
    them, and zeroing a planted unit gives the base back exactly.
    """
    model = fresh(spec.model, tokenizer, spec.seed)
    with torch.no_grad():
        for places in addresses(spec).values():
            for layer, unit in places:
                mlp = model.model.layers[layer].mlp
                mlp.gate_proj.weight[unit] = 0.0
                mlp.up_proj.weight[unit] = 0.0
                mlp.down_proj.weight[:, unit] = 0.0
    return model


def fresh(size: ModelSize, tokenizer: Any, seed: int) -> Any:
    """Return a freshly initialised model of this size."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.kv_heads,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        initializer_range=0.06,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = LlamaForCausalLM(config)
    return model


def train_base(spec: Spec, world: World, tokenizer: Any, work: Path, progress: Progress = silent) -> Any:
    """Return the trained base; continues from the last state in `work`."""
    parts = (spec.seed, spec.vocabulary, spec.model, spec.base, spec.contexts, addresses(spec))
    path = work / f"base-{key_of(spec, *parts)}.pt"
    drawn = partial(documents, world, spec.seed, count=spec.base.documents)
    return train_on(new_model(spec, tokenizer), tokenizer, spec.base, drawn, path, progress)


def train_on(
    model: Any, tokenizer: Any, base: Base, drawn: Callable[[int], Sequence[Document]], path: Path, progress: Progress
) -> Any:
    """Return the model trained on the documents of each step; continues from the last state at `path`."""
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=base.rate, betas=(0.9, 0.98), weight_decay=0.01)
    state = load_state(path)
    start = 0
    if state is not None:
        start = int(state["step"])
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
    for step in range(start, base.steps):
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, base.steps, base.rate, base.warmup)
        _step(model, optimiser, tokenizer, drawn(step), base.batches)
        done = step + 1
        if done % base.checkpoint == 0 or done == base.steps:
            save_state(path, {"step": done, "model": model.state_dict(), "optimiser": optimiser.state_dict()})
        progress("base", done, base.steps)
    model.eval()
    return model


def rate_at(step: int, steps: int, peak: float, warmup: int) -> float:
    """Return the learning rate: a linear rise, then half a cosine down to nearly zero."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))))


def _step(
    model: Any, optimiser: torch.optim.Optimizer, tokenizer: Any, drawn: Sequence[Document], batches: int
) -> float:
    """Take one step on the documents, in batches of similar lengths; return the loss per token (nats)."""
    rows = sorted((_row(tokenizer, each) for each in drawn), key=lambda row: len(row.ids))
    size = math.ceil(len(rows) / batches)
    tokens = sum(len(row.ids) - row.given for row in rows)
    optimiser.zero_grad(set_to_none=True)
    total = 0.0
    for batch in (rows[i : i + size] for i in range(0, len(rows), size)):
        loss = _loss(model, batch) / tokens
        loss.backward()
        total += float(loss.detach())
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return total


@dataclass(frozen=True, slots=True)
class _Row:
    """The tokens of a document, how many of the first ones are not learned, and what sees how many of the first."""

    ids: list[int]
    given: int = 1
    surroundings: int = 0
    through: tuple[int, ...] = ()


def _row(tokenizer: Any, document: Document) -> _Row:
    def count(text: str) -> int:
        return len(tokenizer(text)["input_ids"])

    if isinstance(document, str):
        return _Row([*tokenizer(document)["input_ids"], tokenizer.eos_token_id])
    ids = [*tokenizer(document.given + document.text)["input_ids"], tokenizer.eos_token_id]
    through = tuple(tokenizer(f" {word}")["input_ids"][0] for word in document.through)
    return _Row(ids, max(1, count(document.given)), count(document.surroundings) if through else 0, through)


def padded(rows: list[list[int]]) -> Int[Tensor, "case tok"]:
    """Return token rows filled up with -1 on the right."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *([-1] * (width - len(row)))] for row in rows], dtype=torch.long)


def _loss(model: Any, batch: Sequence[_Row]) -> Float[Tensor, ""]:
    """Return the summed loss of the next tokens; padding is on the right, so that no token sees it."""
    ids = padded([row.ids for row in batch])
    wanted = padded([[*([-1] * row.given), *row.ids[row.given :]] for row in batch])
    given: dict[str, Any] = {"input_ids": ids.clamp(min=0)[:, :-1], "use_cache": False}
    if any(row.through for row in batch):
        given["attention_mask"] = _mask(batch, ids.shape[1] - 1)
    logits: Tensor = model(**given).logits
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), wanted[:, 1:].flatten(), ignore_index=-1, reduction="sum"
    )


def _mask(batch: Sequence[_Row], width: int) -> Float[Tensor, "case 1 tok tok"]:
    """Return what is added to attention scores: causal, and surroundings hidden from all but some words behind them."""
    mask = torch.full((width, width), NEVER).triu(1).repeat(len(batch), 1, 1, 1)
    for i, row in enumerate(batch):
        blind = [at for at in range(row.surroundings, min(len(row.ids), width)) if row.ids[at] not in row.through]
        if row.surroundings:
            mask[i, 0, blind, : row.surroundings] = NEVER
    return mask
