"""One vector per text: the hidden state of its last token, of its first, or the mean over its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.answer import Pooling
from evenhand.core.errors import UsageError
from evenhand.core.progress import Progress, silent
from evenhand.core.readout import Readout
from evenhand.lm.batches.batching import Cost, Work, in_batches
from evenhand.lm.batches.logits import check_length, padded, positions
from evenhand.lm.batches.variants import RowMasks, Variant
from evenhand.lm.model import LM
from evenhand.lm.readouts import Task
from evenhand.lm.tokens import Encoded, encode_all


@dataclass(frozen=True, slots=True)
class Embedding:
    """Which hidden states stand for a text.

    `layer`: the output of a block (from 0; negative from the end; encoder–decoder: of the encoder). None: what the
    model hands to its head, after the final norm, as published SEAT numbers do; later blocks of causal models turn to
    the next token, so also look at a middle layer. `pooling`: `auto` is the last token of causal models, which alone
    has seen the whole text, and elsewhere the mean over all tokens, start and end tokens included, as sentence encoders
    are trained; `first` is SEAT's [CLS]. The mean of a causal model leaves out the start token, whose state is many
    times larger than all others.
    """

    layer: int | None = None
    pooling: Pooling = "auto"


def embeddings(task: Task, embedding: Embedding) -> list[Readout]:
    """Return the vector of each text (array `vector`) and how many tokens the text has (`tokens`)."""
    texts = [case.prompt for case in task.cases]
    tokens = torch.tensor([len(each.ids) for each in encode_all(task.lm, texts, True, or_end=True)])
    out: list[Readout] = []
    for vectors in embed_texts(task.lm, texts, embedding, task.variants, task.progress):
        known = vectors.isfinite().all(dim=1)
        none = torch.empty(0, dtype=torch.float64)
        out.append(
            Readout(task.kind, task.cases, task.groups, none, none, none.long(),
                    {"valid": known.double(), "other": 1 - known.double()}, known,
                    arrays={"vector": vectors, "tokens": tokens},
                    notes={"mode": "embedding", **asdict(embedding), "chat": task.lm.chat})
        )  # fmt: skip
    return out


def embed_texts(
    lm: LM,
    texts: Sequence[str],
    embedding: Embedding = Embedding(),
    variants: Sequence[Variant | None] = (None,),
    progress: Progress = silent,
) -> list[Float[Tensor, "text dim"]]:
    """Return per variant one vector (float32, on the CPU) for each text, read without chat template.

    Raises UsageError for an empty text, a layer the model does not have and the first token of a causal model,
    CannotRun for a text longer than the context.
    """
    block = _block(lm, embedding.layer)
    distinct = [*dict.fromkeys(texts)]  # one word stands in several tests
    encoded = encode_all(lm, distinct, True, or_end=True)
    places = [_places(lm, text, each, embedding.pooling) for text, each in zip(distinct, encoded, strict=True)]
    check_length(lm, max((len(each.ids) for each in encoded), default=0), "a text")
    masks = RowMasks(lm, variants)
    found: dict[tuple[int, int], Float[Tensor, " dim"]] = {}

    def run(batch: list[tuple[int, int]]) -> None:
        ids = [encoded[text].ids for text, _ in batch]
        with masks.rows(torch.tensor([variant for _, variant in batch])):
            hidden = _hidden(lm, ids, block)
        wanted = _wanted([places[text] for text, _ in batch], hidden.shape[1]).to(hidden.device)
        vectors = torch.einsum("rp,rpd->rd", wanted / wanted.sum(1, keepdim=True), hidden.float())
        found.update(zip(batch, vectors.cpu(), strict=True))

    units = [(text, variant) for text in range(len(distinct)) for variant in range(len(variants))]
    in_batches(
        lm, Work(units, lambda unit: Cost(len(encoded[unit[0]].ids), logits=0), run, label="embedding"), progress
    )
    place = {text: i for i, text in enumerate(distinct)}
    return [torch.stack([found[place[text], variant] for text in texts]) for variant in range(len(variants))]


def _places(lm: LM, text: str, encoded: Encoded, pooling: Pooling) -> list[int]:
    """Return the positions that are averaged."""
    own = [i for i, (start, end) in enumerate(encoded.offsets) if end > start]
    if not own:
        raise UsageError(f"the text {text!r} has no tokens, so no vector stands for it; write one")
    if pooling == "first" and lm.kind == "causal":
        raise UsageError(
            f"{lm.identity.source} is a causal model: its first token sees nothing of the text after it; use pooling "
            "'last' or 'mean'"
        )
    if pooling == "auto":
        pooling = "last" if lm.kind == "causal" else "mean"
    if pooling == "mean":
        return own if lm.kind == "causal" else list(range(len(encoded.ids)))
    return [0] if pooling == "first" else own[-1:]


def _wanted(places: Sequence[Sequence[int]], length: int) -> Float[Tensor, "row pos"]:
    wanted = torch.zeros(len(places), length)
    for row, few in zip(wanted, places, strict=True):
        row[list(few)] = 1.0
    return wanted


def _block(lm: LM, layer: int | None) -> str | None:
    """Return the path of the block whose output is taken; None for the last hidden state."""
    if layer is None:
        return None
    stack = lm.family.stacks[0]
    layers = sorted({site.layer for site in lm.layout("head").sites if site.stack == stack.name})
    if not -len(layers) <= layer < len(layers):
        raise UsageError(
            f"there is no layer {layer}: the blocks of {lm.identity.source} are 0 to {len(layers) - 1} (or, from the "
            f"end, -1 to -{len(layers)})"
        )
    return stack.blocks.replace("#", str(layers[layer]))


@torch.no_grad()
def _hidden(lm: LM, ids: Sequence[tuple[int, ...]], block: str | None) -> Float[Tensor, "row pos dim"]:
    """Run the model without its head and return one hidden state per token.

    A hook of our own takes the output of a block: `output_hidden_states` would put hooks on the model that stay there.
    """
    tokens, mask = padded(lm, ids)
    inputs: dict[str, Any] = {"input_ids": tokens, "attention_mask": mask, **positions(lm, mask)}
    if lm.kind == "causal":
        inputs["use_cache"] = False
    trunk: Any = lm.model.get_encoder() if lm.kind == "encoder-decoder" else lm.model.base_model
    if block is None:
        return trunk(**inputs).last_hidden_state
    taken: list[Tensor] = []

    def take(module: Any, args: Any, output: Any) -> None:
        taken.append(cast("Tensor", output[0] if isinstance(output, tuple) else output))

    hook = lm.module(block).register_forward_hook(take)
    try:
        trunk(**inputs)
    finally:
        hook.remove()
    return taken[0].reshape(*tokens.shape, -1)
