"""Whole texts: the log-likelihood of every token, and how far each edited model is from the unedited one there."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from evenhand.core.errors import UsageError
from evenhand.core.progress import Progress, silent
from evenhand.lm.batches.logits import context_length
from evenhand.lm.batches.sequences import Line, compare_lines, score_lines
from evenhand.lm.batches.shared import Tokens
from evenhand.lm.batches.variants import Variant
from evenhand.lm.model import LM
from evenhand.lm.scoring.masked import masked_lines
from evenhand.lm.tokens import Encoded, encode_all


@dataclass(frozen=True, eq=False)
class TextScores:
    """What one variant makes of some texts: sums (float64, nats, NaN where no token is scored) and their terms."""

    logp: Float[Tensor, " case"]
    tokens: Int[Tensor, " case"]
    """Scored tokens of each text."""
    kl: Float[Tensor, " case"]
    """Sum over the scored tokens of KL(model as it stands ‖ variant), from the same forward pass."""
    agree: Float[Tensor, " case"]
    """Scored tokens in whose place model and variant find the same token most likely."""
    logp_tokens: tuple[Float[Tensor, " _token"], ...]
    kl_tokens: tuple[Float[Tensor, " _token"], ...]


def score_texts(
    lm: LM, texts: Sequence[str], variants: Sequence[Variant | None] = (None,), progress: Progress = silent
) -> list[TextScores]:
    """Return per variant the scores of whole texts, without chat template.

    Causal: every token, the first after the start token (models without one: from the second on).
    Masked: pseudo-log-likelihood, each token masked in turn given all others (Salazar et
    al. 2020). Encoder–decoder: the text as decoder target while the encoder reads an empty text.
    A text longer than the context is read in windows of that length: causal ones overlap by half and score a token in
    the first that holds it, masked ones are centred on the masked token. `kl` compares each variant with the model as
    it stands, edits applied to it included. Raises UsageError for an empty text.
    """
    encoded = _encoded(lm, texts)
    lines = [text_lines(lm, each) for each in encoded]
    flat = [line for few in lines for line in few]
    scores = score_lines(lm, flat, variants, True, progress)
    sizes = [len(few) for few in lines]
    found = zip(scores.logp, scores.kl, scores.agree, strict=True)
    return [_gathered(*(_joined(part, sizes) for part in each)) for each in found]


def perplexity(lm: LM, texts: Sequence[str], progress: Progress = silent) -> float:
    """Return exp(−mean log-likelihood) over all tokens of these texts as `score_texts` scores them, at most e^700.

    Of masked models it is the pseudo-perplexity. NaN where no token is scored, and where the model gives no number.
    """
    (scores,) = score_texts(lm, texts, progress=progress)
    loss = -float(scores.logp[scores.tokens > 0].sum() / scores.tokens.sum())
    return math.exp(min(loss, 700.0))  # in this order NaN stays NaN


def whole_texts(
    lm: LM, texts: Sequence[str], variants: Sequence[Variant | None], progress: Progress
) -> list[list[float]]:
    """Return [variant][text] the sums of `score_texts` without comparing variants, which is cheaper."""
    lines = [text_lines(lm, each) for each in _encoded(lm, texts)]
    scores = score_lines(lm, [line for few in lines for line in few], variants, False, progress)
    sizes = [len(few) for few in lines]
    return [[_sum(part) for part in _joined(logp, sizes)] for logp in scores.logp]


def compare_texts(
    lm: LM, texts: Sequence[str], applied: Callable[[], AbstractContextManager[None]], progress: Progress = silent
) -> tuple[Float[Tensor, " case"], Float[Tensor, " case"]]:
    """Return `kl` and `agree` of each text as `score_texts` does, for an edit that no mask stands for."""
    with applied():  # the edit may leave less of the context for the text
        lines = [text_lines(lm, each) for each in _encoded(lm, texts)]
    kl, agree = compare_lines(lm, [line for few in lines for line in few], applied, progress)
    sizes = [len(few) for few in lines]
    summed = [[_sum(part) for part in _joined(each, sizes)] for each in (kl, agree)]
    return torch.tensor(summed[0], dtype=torch.float64), torch.tensor(summed[1], dtype=torch.float64)


def _encoded(lm: LM, texts: Sequence[str]) -> list[Encoded]:
    if not all(texts):
        raise UsageError("a text to score is empty; remove it, or write one")
    return encode_all(lm, texts, whole=True)


def _gathered(logp: list[Tensor], kl: list[Tensor], agree: list[Tensor]) -> TextScores:
    return TextScores(
        logp=torch.tensor([_sum(part) for part in logp], dtype=torch.float64),
        tokens=torch.tensor([len(part) for part in logp], dtype=torch.long),
        kl=torch.tensor([_sum(part) for part in kl], dtype=torch.float64),
        agree=torch.tensor([_sum(part) for part in agree], dtype=torch.float64),
        logp_tokens=tuple(logp),
        kl_tokens=tuple(kl),
    )


def _joined(parts: list[Tensor], sizes: list[int]) -> list[Float[Tensor, " _token"]]:
    """Join the lines of each text again."""
    rest = iter(parts)
    return [torch.cat([torch.empty(0), *(next(rest) for _ in range(size))]) for size in sizes]


def _sum(terms: Float[Tensor, " token"]) -> float:
    return float(terms.double().sum()) if len(terms) else float("nan")


def text_lines(lm: LM, text: Encoded) -> list[Line]:
    """Return the sequences to run so that every token of a text is predicted once."""
    if lm.kind == "masked":
        return masked_lines(lm, text, [i for i, (start, end) in enumerate(text.offsets) if end > start])
    if lm.kind == "causal":
        return _causal_lines(text.ids, context_length(lm) or len(text.ids))
    start = int(lm.model.config.decoder_start_token_id)
    body = tuple(t for t, (a, b) in zip(text.ids, text.offsets, strict=True) if b > a)
    return [Line((start, *body[:-1]), tuple(range(len(body))), body)]


def _causal_lines(ids: Tokens, width: int) -> list[Line]:
    """Feed each window without its last token; all but the first begin with half a window that is only context."""
    lines: list[Line] = []
    start, done = 0, 1
    while done < len(ids):
        end = min(start + width + 1, len(ids))
        lines.append(Line(ids[start : end - 1], tuple(range(done - start - 1, end - start - 1)), ids[done:end]))
        start, done = end - 1 - width // 2, end
    return lines
