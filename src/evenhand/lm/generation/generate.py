"""Sampled answers, token by token over the key–value cache: every draw is decided by seed, case and sample number.

The same answers come out (in fp32) whatever the batch, the order and the other cases; an edited model is drawn from
with the same random numbers as the unedited one, so differences between the two are not noise of the draw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.core.progress import Progress, silent
from evenhand.lm.batches.batching import Cost, Work, in_batches
from evenhand.lm.batches.logits import check_length, forward, positions
from evenhand.lm.batches.shared import Shared, Tokens, branches, encoder_output, share
from evenhand.lm.batches.variants import RowMasks, Variant
from evenhand.lm.generation.sampling import Sampling, sample
from evenhand.lm.model import LM
from evenhand.lm.tokens import encode_all, render_all
from evenhand.lm.vocabulary import Vocabulary, vocabulary


@dataclass(frozen=True, slots=True)
class Answer:
    """One generated answer: its text and tokens without the end token, and whether it ended by itself."""

    text: str
    tokens: Tokens
    ended: bool


@dataclass(frozen=True, slots=True)
class _Draws:
    """Samples [start, stop) of one case."""

    case: int
    start: int
    stop: int


def generate(
    lm: LM,
    cases: Sequence[Case],
    sampling: Sampling = Sampling(),
    progress: Progress = silent,
    variant: Variant | None = None,
) -> list[list[Answer]]:
    """Return `sampling.samples` answers for each case.

    Raises CannotRun for masked models and where a prompt and its answer do not fit the context; UsageError for a case
    without tokens. Global random state is neither used nor changed.
    """
    return generate_after(lm, cases, render_all(lm, cases), sampling, progress, variant)


def generate_after(
    lm: LM,
    cases: Sequence[Case],
    texts: Sequence[str],
    sampling: Sampling,
    progress: Progress = silent,
    variant: Variant | None = None,
) -> list[list[Answer]]:
    """Do what `generate` does after these texts, as they are to be read, instead of what the cases ask."""
    prompts = [encoded.ids for encoded in encode_all(lm, texts)]
    for case, prompt in zip(cases, prompts, strict=True):
        if not prompt:
            raise UsageError(f"case {case.id!r}: its prompt has no tokens, so nothing predicts an answer")
        if lm.kind == "causal":
            check_length(lm, len(prompt) + sampling.max_new_tokens, f"case {case.id!r} with its answer")
    answers: list[list[Answer | None]] = [[None] * sampling.samples for _ in cases]
    known, masks = vocabulary(lm), RowMasks(lm, [variant])

    def run(batch: list[_Draws]) -> None:
        shared = share(lm, [prompts[item.case] for item in batch], masks, [0] * len(batch))
        rows = [i for i, item in enumerate(batch) for _ in range(item.start, item.stop)]
        uniform = torch.cat([_uniform(cases[item.case], sampling)[item.start : item.stop] for item in batch])
        drawn = roll(shared, torch.tensor(rows), uniform, sampling, known)
        places = [(item.case, k) for item in batch for k in range(item.start, item.stop)]
        for (case, k), tokens in zip(places, drawn, strict=True):
            ended = bool(tokens) and tokens[-1] in known.ends
            kept = tokens[:-1] if ended else tokens
            answers[case][k] = Answer(known.text(kept), kept, ended)

    def cost(item: _Draws) -> Cost:
        rows = item.stop - item.start
        return Cost(len(prompts[item.case]) + sampling.max_new_tokens, float(rows), rows)

    work = Work([_Draws(i, 0, sampling.samples) for i in range(len(cases))], cost, run, _halves, "generating")
    in_batches(lm, work, progress)
    return [[answer for answer in row if answer is not None] for row in answers]


def _halves(item: _Draws) -> list[_Draws]:
    if item.stop - item.start == 1:
        return [item]
    middle = (item.start + item.stop) // 2
    return [_Draws(item.case, item.start, middle), _Draws(item.case, middle, item.stop)]


def _uniform(case: Case, sampling: Sampling) -> Float[Tensor, "sample step"]:
    """Return the random numbers of a case; those of a sample do not depend on how many samples there are."""
    digest = hashlib.sha256(f"{sampling.seed}:{case.id}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7]))
    return torch.rand(sampling.samples, sampling.max_new_tokens, generator=generator, dtype=torch.float64)


def roll(
    shared: Shared, rows: Int[Tensor, " sample"], uniform: Float[Tensor, "sample step"], sampling: Sampling,
    known: Vocabulary,
) -> list[Tokens]:  # fmt: skip
    """Return the tokens of each sample, up to and with the end token; finished rows leave the batch."""
    ends = torch.tensor(sorted(known.ends), device=shared.logits.device)
    drawn: list[list[int]] = [[] for _ in rows]
    alive = torch.arange(len(rows))
    flow = _Flow(shared, rows.to(shared.mask.device))
    logits = shared.logits[flow.rows]
    for step in range(sampling.max_new_tokens):
        tokens = sample(logits, sampling, uniform[alive, step])
        for row, token in zip(alive, tokens.cpu(), strict=True):
            drawn[int(row)].append(int(token))
        going = ~torch.isin(tokens, ends)
        if step + 1 == sampling.max_new_tokens or not going.any():
            break
        if not going.all():
            flow.keep(going.nonzero().flatten())
            alive, tokens = alive[going.cpu()], tokens[going]
        logits = flow.feed(tokens)
    return [tuple(tokens) for tokens in drawn]


class _Flow:
    """A batch of answers being written: its cache, mask and rows of the shared prompts."""

    def __init__(self, shared: Shared, rows: Int[Tensor, " sample"]) -> None:
        self.shared = shared
        self.rows = rows
        self.mask = shared.mask[rows]
        self.cache = branches(shared.cache, rows)

    def keep(self, which: Int[Tensor, " kept"]) -> None:
        """Drop all other samples."""
        self.rows, self.mask = self.rows[which], self.mask[which]
        self.cache.batch_select_indices(which)

    def feed(self, tokens: Int[Tensor, " sample"]) -> Float[Tensor, "sample vocab"]:
        """Add one token to each sample and return the logits after it."""
        shared, lm = self.shared, self.shared.lm
        self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], dim=1)
        inputs: dict[str, Any] = {"past_key_values": self.cache, "use_cache": True}
        if lm.kind == "causal":
            places = {name: value[:, -1:] for name, value in positions(lm, self.mask).items()}
            inputs |= {"input_ids": tokens[:, None], "attention_mask": self.mask, **places}
        else:
            inputs |= {
                "encoder_outputs": encoder_output(shared.encoded[self.rows]),
                "attention_mask": None if shared.encoder_mask is None else shared.encoder_mask[self.rows],
                "decoder_input_ids": tokens[:, None],
                "decoder_attention_mask": self.mask,
            }
        with shared.masks.rows(torch.zeros(len(tokens), dtype=torch.long)):
            return forward(lm, inputs, torch.arange(len(tokens)), torch.zeros(len(tokens), dtype=torch.long))[0]
