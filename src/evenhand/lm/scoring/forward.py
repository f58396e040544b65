"""Batched scoring: log-likelihood of options and of whole texts, and next-token distributions, edited or not."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.core.progress import Progress, silent
from evenhand.lm.batches.batching import Cost, Work, in_batches
from evenhand.lm.batches.logits import log_softmax, vocabulary
from evenhand.lm.batches.scores import OptionScores
from evenhand.lm.batches.shared import share
from evenhand.lm.batches.variants import RowMasks, Variant
from evenhand.lm.model import LM
from evenhand.lm.scoring.masked import masked_options
from evenhand.lm.scoring.options import causal_options, decoder_options
from evenhand.lm.scoring.sentences import sentence_options
from evenhand.lm.scoring.texts import TextScores, score_texts
from evenhand.lm.tokens import encode_all, render_all

__all__ = ["OptionScores", "TextScores", "check_scored", "next_token", "score_options", "score_parts", "score_texts"]


def score_options(
    lm: LM, cases: Sequence[Case], variants: Sequence[Variant | None] = (None,), progress: Progress = silent
) -> list[list[Float[Tensor, " _opt"]]]:
    """Return [variant][case] the log-likelihood (float64, nats) of every option of every case.

    Causal: teacher-forced after the rendered prompt, which is read once for all options. Encoder–decoder: the encoder
    reads the rendered prompt, the option is the decoder's target, without end token. Masked: pseudo-log-likelihood of
    the option's tokens, followed by the case's `ending`. A case without a prompt (`pair`) has whole texts for options:
    they are scored as `score_texts` does, without chat template or system prompt, and what they begin with in common is
    read once. Prompt and option that are longer than the context together leave the case undefined (NaN) and
    `lm.notify` is told; CannotRun where all are. So does an option that the tokenizer writes with no token of its own,
    or with its unknown one; UsageError where every case has such an option. Raises UsageError for a case without
    options or with an empty one.
    """
    return [[each.logp for each in one] for one in score_parts(lm, cases, variants, progress)]


def score_parts(
    lm: LM, cases: Sequence[Case], variants: Sequence[Variant | None] = (None,), progress: Progress = silent
) -> list[list[OptionScores]]:
    """Return `score_options` with the number of tokens and, for masked models and whole texts, parts of the sums."""
    for case in cases:
        if not case.options or not all(case.options):
            raise UsageError(f"case {case.id!r} has no options, or an empty one; every option needs text to score")
    whole = [i for i, case in enumerate(cases) if not case.prompt and not case.answer_prefix]
    after = [i for i in range(len(cases)) if i not in set(whole)]
    out: list[dict[int, OptionScores]] = [{} for _ in variants]
    if after:
        masked = partial(masked_options, endings=[cases[i].ending for i in after])
        score = {"causal": causal_options, "masked": masked, "encoder-decoder": decoder_options}[lm.kind]
        texts, options = render_all(lm, [cases[i] for i in after]), [cases[i].options for i in after]
        for found, scores in zip(out, score(lm, texts, options, variants, progress), strict=True):
            found.update(zip(after, scores, strict=True))
    if whole:
        for found, scores in zip(out, sentence_options(lm, [cases[i] for i in whole], variants, progress), strict=True):
            found.update(zip(whole, scores, strict=True))
    return [[found[i] for i in range(len(cases))] for found in out]


def check_scored(cases: Sequence[Case], scores: Sequence[Float[Tensor, " _opt"]]) -> Sequence[Float[Tensor, " _opt"]]:
    """Return the scores of these cases as they are; raises UsageError where an option of a case has none."""
    for case, each in zip(cases, scores, strict=True):
        if each.isnan().any():
            raise UsageError(
                f"case {case.id!r}: an option has no score (no tokens can write it, it is too long, or the model "
                "is broken), so no units can be sought by it; leave the case out"
            )
    return scores


def next_token(
    lm: LM, prompts: Sequence[str], variants: Sequence[Variant | None] = (None,), progress: Progress = silent
) -> list[Float[Tensor, "case vocab"]]:
    """Return per variant the log-softmax (fp32, on the CPU) of the token after each prompt, as it would be read.

    Raises CannotRun for masked models and prompts longer than the context, UsageError for an empty prompt.
    """
    ids = [encoded.ids for encoded in encode_all(lm, prompts)]
    masks = RowMasks(lm, variants)
    out = [torch.empty(len(prompts), vocabulary(lm)) for _ in variants]

    def run(batch: list[tuple[int, int]]) -> None:
        shared = share(lm, [ids[i] for i, _ in batch], masks, [variant for _, variant in batch], keep=False)
        for (i, variant), row in zip(batch, log_softmax(shared.logits).cpu(), strict=True):
            out[variant][i] = row

    units = [(i, variant) for i in range(len(prompts)) for variant in range(len(variants))]
    in_batches(lm, Work(units, lambda unit: Cost(len(ids[unit[0]])), run), progress)
    return out
