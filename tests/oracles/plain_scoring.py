"""Scores the slow, obvious way: one text at a time, one plain forward pass, log_softmax over everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def _logp(lm: Any, ids: Sequence[int], **more: Any) -> torch.Tensor:
    with torch.no_grad():
        return lm.model(input_ids=torch.tensor([list(ids)]), **more).logits[0].float().log_softmax(-1)


def _encode(lm: Any, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    out = lm.tokenizer(text, return_offsets_mapping=True)
    return out["input_ids"], out["offset_mapping"]


def options(lm: Any, case: Any) -> list[float]:
    """Log-likelihood of every option of a case; without a prompt they are whole sentences."""
    if case.prompt:
        return [option(lm, case.prompt, each, case.ending) for each in case.options]
    return [sum(text(lm, each, pair=True)) for each in case.options]


def option(lm: Any, prompt: str, answer: str, ending: str = "") -> float:
    """Log-likelihood of `answer` after `prompt`, any family; masked models read `ending` behind it."""
    return sum(option_tokens(lm, prompt, answer, ending))


def option_tokens(lm: Any, prompt: str, answer: str, ending: str = "") -> list[float]:
    """Log-likelihood of every token of `answer` after `prompt`."""
    if lm.kind == "encoder-decoder":
        source, _ = _encode(lm, prompt)
        return _decoded_tokens(lm, source, lm.tokenizer(answer, add_special_tokens=False)["input_ids"])
    ids, offsets = _encode(lm, prompt + answer + (ending if lm.kind == "masked" else ""))
    first, last = len(prompt), len(prompt + answer)
    wanted = [i for i, (start, end) in enumerate(offsets) if end > first and start < last]
    return _at(lm, ids, wanted)


def text(lm: Any, whole: str, pair: bool = False) -> list[float]:
    """Log-likelihood of every scored token of a text, or of a sentence of a pair."""
    ids, offsets = _encode(lm, whole)
    if lm.kind == "encoder-decoder":
        source, _ = _encode(lm, "")
        body = [i for i, (a, b) in zip(ids, offsets, strict=True) if b > a]
        return _decoded_tokens(lm, source, body)
    real = [i for i, (a, b) in enumerate(offsets) if b > a]
    if lm.kind == "causal":
        ids, opening = _started(lm, ids[: real[-1] + 1], real[0] == 0, pair)
        real = [i + opening for i in real if i + opening]
    return _at(lm, ids, real)


def _started(lm: Any, ids: list[int], bare: bool, pair: bool) -> tuple[list[int], int]:
    """A text begins with the start token, for a pair else the end token; and how many tokens that put before it."""
    tokenizer = lm.tokenizer
    opening = tokenizer.eos_token_id if tokenizer.bos_token_id is None and pair else tokenizer.bos_token_id
    return ([opening, *ids], 1) if bare and opening is not None else (ids, 0)


def _at(lm: Any, ids: Sequence[int], places: Sequence[int]) -> list[float]:
    """Log p of the tokens at these places: from the tokens before each, or with that one masked."""
    if lm.kind == "causal":
        table = _logp(lm, ids)
        return [float(table[i - 1, ids[i]]) for i in places]
    found: list[float] = []
    for i in places:
        masked = list(ids)
        masked[i] = lm.tokenizer.mask_token_id
        found.append(float(_logp(lm, masked)[i, ids[i]]))
    return found


def _decoded_tokens(lm: Any, source: Sequence[int], target: Sequence[int]) -> list[float]:
    start = lm.model.config.decoder_start_token_id
    table = _logp(lm, source, decoder_input_ids=torch.tensor([[start, *target[:-1]]]))
    return [float(table[i, token]) for i, token in enumerate(target)]


def divergence(lm: Any, whole: str, edited: Any) -> list[float]:
    """KL(unedited ‖ edited) at every scored token of a causal text; `edited` is a context manager factory."""
    ids, offsets = _encode(lm, whole)
    ids, _ = _started(lm, ids, offsets[0][1] > 0, False)
    base = _logp(lm, ids)
    with edited():
        other = _logp(lm, ids)
    return [float((p.exp() * (p - q)).sum()) for p, q in zip(base[:-1], other[:-1], strict=True)]
