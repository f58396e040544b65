"""The residual stream at block outputs: taken at given tokens, and changed there while the model runs.

Layer l is the output of block l (HF's `hidden_states[l + 1]`, the last one before its final norm); layer −1
(`EMBEDDINGS`) is the input of block 0. Blocks are those of the stack that reads the prompt: the only one of causal and
masked models, the encoder of encoder–decoder ones. Positions are absolute: they count the real tokens of a row's text
from 0, whatever the padding, so that a change at token 5 of the prompt hits the forward pass that reads token 5 and no
later step over the key–value cache.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from typing import Any, Literal, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from evenhand.core.errors import CannotRun, UsageError
from evenhand.lm.batches.batching import Cost, Work, in_batches
from evenhand.lm.batches.logits import check_length, first_position, padded, positions
from evenhand.lm.batches.remembering import remember, remembered
from evenhand.lm.batches.resume import blocks, stands_in
from evenhand.lm.model import LM

EMBEDDINGS = -1
"""The layer before block 0."""
Mode = Literal["add", "replace"]


def depth(lm: LM) -> int:
    """Return the number of blocks of the stack that reads the prompt; its layers are 0 to one less."""
    return sum(stack == lm.family.stacks[0].name for stack, _ in blocks(lm))


def check_layers(lm: LM, layers: Sequence[int]) -> None:
    """Raise UsageError for a layer that the model does not have."""
    last = depth(lm) - 1
    if absent := [layer for layer in layers if not EMBEDDINGS <= layer <= last]:
        raise UsageError(
            f"there is no layer {absent[0]}: the blocks of {lm.identity.source} are 0 to {last}, and {EMBEDDINGS} is "
            "what comes into block 0"
        )


def capture(
    lm: LM, texts: Sequence[Sequence[int]], at: Sequence[Sequence[int]], layers: Sequence[int] | None = None
) -> list[Float[Tensor, "place layer d"]]:
    """Return for each text (token ids) the stream at its positions `at`, in one forward pass per batch.

    Layers in the order of `layers`, by default every block's output; float32 on the CPU. Raises UsageError for a
    position that the text does not have, CannotRun for a text longer than the context.
    """
    chosen = list(range(depth(lm))) if layers is None else list(layers)
    check_layers(lm, chosen)
    for ids, places in zip(texts, at, strict=True):
        if not places or not all(0 <= place < len(ids) for place in places):
            raise UsageError(f"positions {list(places)} of a text of {len(ids)} tokens; give some of 0 to one less")
    check_length(lm, max((len(ids) for ids in texts), default=0), "a text")
    found: dict[int, Tensor] = {}

    def run(batch: list[int]) -> None:
        taken = streams(lm, [texts[i] for i in batch], chosen)
        for row, i in enumerate(batch):
            here = [taken[layer][row, list(at[i])] for layer in chosen]
            found[i] = torch.stack(here, dim=1).float().cpu()

    in_batches(lm, Work(range(len(texts)), lambda i: Cost(len(texts[i]), logits=0), run, label="reading states"))
    return [found[i] for i in range(len(texts))]


@torch.no_grad()
def streams(lm: LM, texts: Sequence[Sequence[int]], layers: Sequence[int]) -> dict[int, Float[Tensor, "row pos d"]]:
    """Return the whole stream of one batch at these layers, in the model's dtype, padded on the right."""
    ids, mask = padded(lm, texts)
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, **positions(lm, mask)}
    if lm.kind == "causal":
        inputs["use_cache"] = False
    taken: dict[int, Tensor] = {}

    def taker(layer: int) -> Change:
        def take(hidden: Tensor, seen: Seen) -> Tensor:
            taken[layer] = hidden
            return hidden

        return take

    with changing(lm, {layer: taker(layer) for layer in layers}):
        _reader(lm)(**inputs)
    return taken


class Seen:
    """What one forward pass reads."""

    def __init__(self, lm: LM, given: Mapping[str, Any]) -> None:
        self._given, self._first = given, first_position(lm)
        self._cache: Any = given.get("past_key_values")
        self._past = 0 if self._cache is None else int(self._cache.get_seq_length())
        self._said, self._prompt, self._decoded = lm.said, lm.prompt_slots, lm.decoding is not None
        self._causal, self._asked = lm.kind == "causal", False

    @property
    def ids(self) -> Int[Tensor, "row pos"]:
        """Tokens read in this pass, padding included."""
        ids = self._given.get("input_ids")
        if ids is None:
            raise CannotRun(
                "the model was given embeddings instead of tokens, so words cannot be found; change the stream at all "
                "tokens, or give it tokens"
            )
        return ids

    @cached_property
    def positions(self) -> Int[Tensor, "row pos"]:
        """Absolute positions of these tokens; padding has some position of the same row."""
        ids, mask, places = self.ids, self._given.get("attention_mask"), self._given.get("position_ids")
        if places is not None:
            return (places - self._first).expand(ids.shape)
        if isinstance(mask, Tensor) and mask.ndim == 2:
            return (mask.cumsum(1) - 1).clamp_min(0)[:, -ids.shape[1] :]
        return torch.arange(self._past, self._past + ids.shape[1], device=ids.device).expand(ids.shape)

    @cached_property
    def said(self) -> Bool[Tensor, "row pos"]:
        """Which of these tokens come after the prompt: an option being scored, or what the model itself wrote.

        Known of whatever evenhand runs (`LM.run`) and within transformers' `generate` (`counting_prompts`). Of other
        passes all is prompt in one that begins a sequence, and nothing in one that goes on over a cache.
        """
        if self._decoded:
            raise CannotRun(
                "an edit of decoding reads texts anew, where a prompt and what comes after it cannot be told apart; "
                "change the stream in the prompt alone without such an edit"
            )
        if self._said is not None:
            return self._said
        width = self._prompt if self._prompt is not None else self._past or self.ids.shape[1]
        slots = torch.arange(self._past, self._past + self.ids.shape[1], device=self.ids.device)
        return (slots >= width).expand(self.ids.shape)

    @cached_property
    def real(self) -> Bool[Tensor, "row pos"]:
        """Which of these tokens are no padding; padding of rows with branches has position 0, behind nothing."""
        mask = self._given.get("attention_mask")
        if isinstance(mask, Tensor) and mask.ndim == 2:
            return mask[:, -self.ids.shape[1] :].bool()
        return torch.ones_like(self.ids, dtype=torch.bool)

    @cached_property
    def prompt(self) -> Bool[Tensor, "row pos"]:
        """Which of these tokens were surely there before the model answered; models that read both ways read all."""
        if not self._causal:
            return torch.ones_like(self.ids, dtype=torch.bool)
        return torch.zeros_like(self.ids, dtype=torch.bool) if self._decoded else ~self.said

    @cached_property
    def text(self) -> tuple[Int[Tensor, "row all"], Int[Tensor, "row all"]]:
        """Tokens and positions of the whole text so far; −1 for what was read before anyone asked."""
        self._asked = True
        now = torch.stack([self.ids, self.positions], dim=-1)
        both = torch.cat([remembered(self._cache, len(now), self._past).to(now), now], dim=1) if self._past else now
        return both[..., 0], both[..., 1]

    def finish(self) -> None:
        """Keep the text with the cache, for the steps that go on from it; only where it was asked for."""
        if self._asked and self._cache is not None:
            remember(self._cache, torch.stack(self.text, dim=-1))


Change = Callable[[Float[Tensor, "row pos d"], Seen], Float[Tensor, "row pos d"]]
"""From the stream after a block, and what is read, to the stream that goes on."""


@contextmanager
def changing(lm: LM, changes: Mapping[int, Change]) -> Generator[None]:
    """Let every forward pass in this context go on from changed streams; no bit of the model is touched.

    Works in whatever way the model is run: our batches with shared prefixes, plain calls, transformers' `generate`.
    Raises UsageError for a layer that the model does not have.
    """
    check_layers(lm, [*changes])
    stack = lm.family.stacks[0]
    numbers = [layer for name, layer in blocks(lm) if name == stack.name]
    now: list[Seen] = []

    def begin(module: nn.Module, args: tuple[Any, ...], more: dict[str, Any]) -> None:
        now[:] = [Seen(lm, signature(module.forward).bind_partial(*args, **more).arguments)]

    def end(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        now[0].finish()

    with ExitStack() as hooks:
        # Either may be the one that is called; OPT's model goes past its own trunk.
        for module in {_reader(lm), _reader(lm) if lm.kind == "encoder-decoder" else lm.model}:
            hooks.callback(module.register_forward_pre_hook(begin, with_kwargs=True).remove)
            hooks.callback(module.register_forward_hook(end).remove)
        for layer, change in changes.items():
            block = lm.module(stack.blocks.replace("#", str(numbers[max(layer, 0)])))
            hooks.callback(_hooked(block, layer, change, now).remove)
        yield


@contextmanager
def counting_prompts(lm: LM) -> Generator[None]:
    """Let transformers' `generate` say how long its prompt is, which passes without cache do not tell (`Seen.said`)."""
    if lm.kind != "causal":
        yield
        return
    own = cast("Any", vars(lm.model).get("generate"))
    generate: Any = lm.model.generate

    def counted(inputs: Any = None, *args: Any, **more: Any) -> Any:
        given = (more.get("inputs_embeds"), inputs, more.get("input_ids"))
        before = lm.prompt_slots
        lm.prompt_slots = next((int(each.shape[1]) for each in given if each is not None), 1)
        try:
            return generate(inputs, *args, **more)
        finally:
            lm.prompt_slots = before

    vars(lm.model)["generate"] = counted
    try:
        yield
    finally:
        if own is not None:
            vars(lm.model)["generate"] = own
        else:
            vars(lm.model).pop("generate", None)


def _hooked(block: nn.Module, layer: int, change: Change, now: list[Seen]) -> Any:
    def before(module: nn.Module, args: tuple[Any, ...], more: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
        if args:
            return (change(args[0], now[0]), *args[1:]), more
        return args, more | {"hidden_states": change(more["hidden_states"], now[0])}

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if stands_in(module):  # what it hands out was changed when it was computed
            return output
        return (change(output[0], now[0]), *output[1:]) if isinstance(output, tuple) else change(output, now[0])  # pyright: ignore[reportUnknownArgumentType]

    if layer == EMBEDDINGS:
        return block.register_forward_pre_hook(before, with_kwargs=True)
    return block.register_forward_hook(after)


def _reader(lm: LM) -> nn.Module:
    """The module that is given the prompt's tokens and runs the blocks."""
    return lm.model.get_encoder() if lm.kind == "encoder-decoder" else lm.model.base_model


@dataclass(frozen=True, eq=False)
class Patch:
    """Vectors put into the stream at one layer: `vectors[k]` in row `rows[k]` of the batch at `positions[k]`.

    Without `rows` each vector goes into every row. `add` adds to what is there, `replace` overwrites it.
    """

    layer: int
    vectors: Float[Tensor, "k d"]
    positions: Int[Tensor, " k"]
    rows: Int[Tensor, " k"] | None = None
    mode: Mode = "replace"

    def __call__(self, hidden: Float[Tensor, "row pos d"], seen: Seen) -> Float[Tensor, "row pos d"]:
        """Return the stream with the vectors in it."""
        here = seen.positions == self.positions.to(seen.positions.device)[:, None, None]
        if self.rows is not None:
            row = torch.arange(len(hidden), device=here.device)
            here &= (row == self.rows.to(here.device)[:, None])[:, :, None]
        vector, *place = here.to(hidden.device).nonzero(as_tuple=True)
        if not len(vector):
            return hidden
        put = self.vectors.to(hidden)[vector]
        return hidden.index_put((place[0], place[1]), put, accumulate=self.mode == "add")


@contextmanager
def patched(lm: LM, patches: Sequence[Patch]) -> Generator[None]:
    """Let every forward pass in this context run with these vectors in the stream, in order."""
    with ExitStack() as stack:
        for patch in patches:
            stack.enter_context(changing(lm, {patch.layer: patch}))
        yield
