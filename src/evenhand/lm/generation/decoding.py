"""Self-debiasing by decoding: a next token is made rarer where a text announced as biased would make it likelier.

With p(w | x) the model's next-token distribution after the tokens x, and prefixes that announce a text of some kind
("The following text contains a threat:"),

    p_b(w) = max over k of p(w | prefix_k + x)      Δ(w) = max(p_b(w) − p(w), 0)
    a(w) = max(exp(−λ Δ(w)), ε)                     p′(w) ∝ a(w) p(w)

Source: Schick, Udupa and Schütze 2021 (TACL 9, arXiv 2103.00453): λ = 50, ε = 0.01.
`evenhand.lm.generation.self_debias` is the same for transformers' own `generate`. Here p′ takes the place of p wherever
our scoring asks for logits: every place of options, whole texts, numbers and answers. Caches tell what follows the
prefixes (`evenhand.lm.generation.behind`), so K prefixes take about K + 1 times as long. Where a pass goes on over a
cache of which they know nothing, what a place has read is told by the tokens that its attention mask shows it (those
behind a cache are kept with the cache), and read again behind each prefix: exact in windows, packed rows and caches,
and slow. The prefix comes before all a model reads, a chat template included, after its start token; the context is
shorter by the longest prefix.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from evenhand.core.errors import CannotRun, UsageError
from evenhand.lm.batches.batching import Work, in_batches
from evenhand.lm.batches.logits import forward_to_learn
from evenhand.lm.batches.packed import PackedRow, joins, packable, packed_inputs
from evenhand.lm.batches.remembering import remember, remembered
from evenhand.lm.generation.behind import Tokens, behind, read_behind
from evenhand.lm.model import LM

_NEXT = -1
"""Stands for whatever follows a text."""


def debiased(
    logits: Float[Tensor, "row vocab"], biased: Float[Tensor, "row vocab"], decay: float, epsilon: float
) -> Float[Tensor, "row vocab"]:
    """Return log p′ (fp32) from the logits of p and p_b itself; what p rules out stays ruled out."""
    logp = torch.log_softmax(logits, dim=-1, dtype=torch.float32)
    excess = (biased.to(logp.device) - logp.exp()).clamp_min(0)
    return torch.log_softmax(logp + (-decay * excess).clamp_min(math.log(epsilon)), dim=-1)


class Decoding(Protocol):
    """What takes the place of a causal model's next-token distributions while it stands in `LM.decoding`."""

    @property
    def taken(self) -> int:
        """Tokens by which the context is shorter."""
        ...

    def logits(
        self, lm: LM, inputs: dict[str, Any], rows: Int[Tensor, " k"], at: Int[Tensor, " k"],
        logits: Float[Tensor, "k vocab"],
    ) -> Float[Tensor, "k vocab"]:  # fmt: skip
        """Return log p′ (fp32) at the wanted (row, position) pairs of a forward pass that gave `logits`."""
        ...


@dataclass(frozen=True, slots=True)
class SelfDebiased:
    """Self-debiasing with prefixes that are put behind a start token, where a text has one."""

    prefixes: tuple[Tokens, ...]
    decay: float
    epsilon: float
    starts: frozenset[int]

    @property
    def taken(self) -> int:
        """Tokens of the longest prefix."""
        return max(map(len, self.prefixes))

    def logits(
        self, lm: LM, inputs: dict[str, Any], rows: Int[Tensor, " k"], at: Int[Tensor, " k"],
        logits: Float[Tensor, "k vocab"],
    ) -> Float[Tensor, "k vocab"]:  # fmt: skip
        """Return log p′ at the wanted places."""
        found = self._behind(lm, inputs, rows, at)
        if found is not None:
            biased = torch.stack([each.softmax(-1, dtype=torch.float32) for each in found]).amax(0)
            return debiased(logits, biased, self.decay, self.epsilon)
        read, biased = tokens_read(inputs, rows, at), torch.zeros_like(logits, dtype=torch.float32)

        def take(numbers: Int[Tensor, " n"], found: Float[Tensor, "n vocab"]) -> None:
            numbers = numbers.to(biased.device)
            p = found.softmax(-1, dtype=torch.float32).to(biased.device)
            biased[numbers] = torch.maximum(biased[numbers], p)

        with decoded(lm, None):
            for prefix in self.prefixes:
                read_again(lm, [behind(prefix, each, self.starts) for each in read], take)
        return debiased(logits, biased, self.decay, self.epsilon)

    def _behind(
        self, lm: LM, inputs: dict[str, Any], rows: Int[Tensor, " k"], at: Int[Tensor, " k"]
    ) -> list[Float[Tensor, "k vocab"]] | None:
        """The logits behind each prefix, as far as caches tell them."""
        if (cache := inputs.get("past_key_values")) is not None:
            _with_cached(cache, inputs["input_ids"], inputs["attention_mask"])
        with decoded(lm, None):
            return read_behind(lm, inputs, rows, at, self.prefixes, self.starts, packable(lm))


def read_again(
    lm: LM, texts: Sequence[Tokens], take: Callable[[Int[Tensor, " n"], Float[Tensor, "n vocab"]], None]
) -> None:
    """Read texts from their start and hand over the logits after them, with the numbers of these texts, as they come.

    What texts begin with in common is read once where attention is full.
    """
    rows, places = _grown(texts, packable(lm))
    ends: list[dict[int, list[int]]] = [{} for _ in rows]
    for number, (row, node) in enumerate(places):
        ends[row].setdefault(node, []).append(number)

    def run(batch: list[int]) -> None:
        wanted = [(i, node) for i, row in enumerate(batch) for node in ends[row]]
        where, at = torch.tensor(wanted).unbind(1)
        found = forward_to_learn(lm, packed_inputs(lm, [rows[row] for row in batch]), where, at)[0]
        known = [(number, k) for k, (i, node) in enumerate(wanted) for number in ends[batch[i]][node]]
        numbers, k = torch.tensor(known).unbind(1)
        take(numbers, found[k.to(found.device)])

    with torch.no_grad():
        in_batches(lm, Work(range(len(rows)), lambda row: rows[row].cost(), run), _unheard)


def _unheard(label: str, done: int, total: int) -> None:
    """The pass that this one belongs to reports."""


@contextmanager
def decoded(lm: LM, decoding: Decoding | None) -> Generator[None]:
    """Let p′ take the place of p for the length of a `with` block (None: p again)."""
    before, lm.decoding = lm.decoding, decoding
    try:
        yield
    finally:
        lm.decoding = before


def _grown(texts: Sequence[Tokens], branches: bool) -> tuple[list[PackedRow], list[tuple[int, int]]]:
    """Return rows to run and (row, node) where each text ends: in that of its beginning, branching where they may."""
    rows: list[PackedRow] = []
    places = [(0, 0)] * len(texts)
    for number in sorted(range(len(texts)), key=lambda i: texts[i]):
        text = texts[number]
        goes_on = bool(rows) and rows[-1].common(text) == len(rows[-1].tokens)
        if not rows or not (goes_on or (branches and joins(rows[-1], text, True))):
            rows.append(PackedRow())
        rows[-1].add((*text, _NEXT), len(text))
        places[number] = len(rows) - 1, rows[-1].last
    return rows, places


def tokens_read(inputs: dict[str, Any], rows: Int[Tensor, " k"], at: Int[Tensor, " k"]) -> list[Tokens]:
    """Return the tokens that each wanted place has read, its own the last."""
    ids, mask, cache = inputs["input_ids"], inputs["attention_mask"], inputs.get("past_key_values")
    tokens = ids if cache is None else _with_cached(cache, ids, mask)
    past = tokens.shape[1] - ids.shape[1]
    if bool((tokens < 0).any()):
        raise UsageError(
            "a prompt was read before the decoding began, so what stands behind its cache is not known; apply the "
            "edit first, and read the prompt within it"
        )
    seen = _seen(mask, rows.to(mask.device), at.to(mask.device) + past)
    own = tokens[rows.to(tokens.device)].cpu()
    return [tuple(int(i) for i in row[here]) for row, here in zip(own, seen.cpu(), strict=True)]


def _seen(mask: Tensor, rows: Int[Tensor, " k"], at: Int[Tensor, " k"]) -> Bool[Tensor, "k all"]:
    """Return which tokens each place sees: by a mask of its own (packed rows), else all real ones up to it."""
    if mask.ndim == 4:
        return mask[rows, 0, at] == 0
    return mask[rows].bool() & (torch.arange(mask.shape[1], device=mask.device) <= at[:, None])


def _with_cached(cache: Any, ids: Int[Tensor, "row pos"], mask: Int[Tensor, "row all"]) -> Int[Tensor, "row all"]:
    """Return the tokens behind the cache and these, and keep both with the cache."""
    new, past = ids.shape[1], mask.shape[1] - ids.shape[1]
    kept = remembered(cache, len(ids), past).to(ids.device)
    if kept.shape[1] == past:  # an edit at words may have kept this pass already
        places = (mask.cumsum(1) - 1).clamp_min(0)[:, -new:]
        kept = torch.cat([kept, torch.stack([ids, places], dim=-1)], dim=1)
        remember(cache, kept)
    return kept[..., 0]


def decoding_of(lm: LM, prefixes: Sequence[str], decay: float, epsilon: float) -> SelfDebiased:
    """Return the decoding with these prefixes, as the model's tokenizer writes them.

    Raises CannotRun for a model that is not causal, and within another decoding; UsageError for a prefix without
    tokens.
    """
    check_free(lm)
    out: Any = lm.tokenizer(list(prefixes), add_special_tokens=False, verbose=False)
    found = tuple(tuple(int(i) for i in ids) for ids in out["input_ids"])
    if not found or not all(found):
        raise UsageError("self-debiasing needs prefixes, and one of them adds no token for this tokenizer")
    known: tuple[Any, Any] = lm.tokenizer.bos_token_id, lm.tokenizer.cls_token_id
    return SelfDebiased(found, decay, epsilon, frozenset(int(i) for i in known if i is not None))


def check_free(lm: LM) -> None:
    """Raise CannotRun unless this is a causal model that decodes as it is."""
    if lm.kind != "causal":
        raise CannotRun(
            f"{lm.identity.source} is of kind {lm.kind}: an edit of decoding changes how a causal model goes on with a "
            "text; use a causal model"
        )
    if lm.decoding is not None:
        raise CannotRun("another edit already changes how this model decodes; apply one at a time")
