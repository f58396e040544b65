"""Batches keep to their budget; running out of memory halves it, is told, and changes no number."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun
from evenhand.lm.batches.batching import Cost, Work, in_batches
from evenhand.lm.batches.variants import Variant
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import next_token, score_options, score_texts
from evenhand.testing.tiny import SENTENCES, tiny_lm

CASES = [Case(str(i), sentence, "c", options=(" yes", " no, not now")) for i, sentence in enumerate(SENTENCES)]


def _short_of_memory(lm: LM, monkeypatch: pytest.MonkeyPatch, most: int, error: Exception) -> list[int]:
    """Make the model fail for batches of more than `most` tokens; returns the sizes it was asked for."""
    asked: list[int] = []
    plain = lm.model.forward

    def forward(*args: Any, **inputs: Any) -> Any:
        asked.append(inputs["input_ids"].numel())
        if asked[-1] > most:
            raise error
        return plain(*args, **inputs)

    monkeypatch.setattr(lm.model, "forward", forward)
    return asked


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        MemoryError(),
    ],
)
def test_the_budget_is_halved_and_the_user_told(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    lm = tiny_lm("llama")
    half = Variant(Selection.where(lm.layout("neuron"), torch.arange(lm.layout("neuron").size) % 2 == 0))
    expected = (score_options(lm, CASES)[0], score_texts(lm, SENTENCES, [None, half]), next_token(lm, SENTENCES)[0])
    told: list[str] = []
    lm.notify = told.append
    asked = _short_of_memory(lm, monkeypatch, 90, error)
    lm.budget = 4096
    options = score_options(lm, CASES)[0]
    lm.budget = 4096
    texts = score_texts(lm, SENTENCES, [None, half])
    lm.budget = 4096
    after = next_token(lm, SENTENCES)[0]
    assert max(asked) > 90
    assert lm.budget <= 90 * 2
    assert told
    assert all("out of memory with" in line and "at most" in line for line in told)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(options, expected[0], strict=True))
    for ours, theirs in zip(texts, expected[1], strict=True):
        assert torch.allclose(ours.logp, theirs.logp, atol=1e-4)
        assert torch.allclose(ours.kl, theirs.kl, atol=1e-4)
    assert torch.allclose(after, expected[2], atol=1e-4)


def test_one_row_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("gpt2")
    _short_of_memory(lm, monkeypatch, 3, torch.OutOfMemoryError("out of memory"))
    with pytest.raises(CannotRun, match="out of memory with a single row of"):
        score_texts(lm, SENTENCES)


def test_other_errors_are_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("gpt2")
    _short_of_memory(lm, monkeypatch, 3, RuntimeError("expected scalar type Float"))
    with pytest.raises(RuntimeError, match="scalar type"):
        score_texts(lm, SENTENCES)


def test_batches_keep_to_the_budget_and_run_everything_once() -> None:
    lm = tiny_lm("gpt2")
    lm.budget = 100
    lengths = [int(x) for x in torch.randint(1, 40, (200,), generator=torch.Generator().manual_seed(0))]
    seen: list[list[int]] = []
    progress: list[tuple[str, int, int]] = []
    work = Work(range(200), lambda i: Cost(lengths[i]), seen.append, label="counting")
    in_batches(lm, work, lambda *step: progress.append(step))
    assert sorted(i for batch in seen for i in batch) == list(range(200))
    assert all(len(batch) * max(lengths[i] for i in batch) <= 100 for batch in seen)
    padded = sum(len(batch) * max(lengths[i] for i in batch) for batch in seen)
    assert padded < 1.1 * sum(lengths)
    assert progress[-1] == ("counting", 200, 200)


def test_a_large_vocabulary_makes_smaller_batches() -> None:
    lm = tiny_lm("gpt2")
    lm.budget = 100
    lm.model.config.vocab_size = 8192 * 25
    seen: list[list[int]] = []
    in_batches(lm, Work(range(40), lambda i: Cost(1, 1, 2), seen.append))
    assert {len(batch) for batch in seen} == {2}


def test_items_over_the_budget_are_split_first() -> None:
    lm = tiny_lm("gpt2")
    lm.budget = 10
    seen: list[list[int]] = []

    def halves(n: int) -> list[int]:
        return [n // 2, n - n // 2] if n > 1 else [n]

    in_batches(lm, Work([37, 1], lambda n: Cost(2, n), seen.append, halves))
    assert sum(sum(batch) for batch in seen) == 38
    assert all(sum(batch) * 2 <= 10 for batch in seen)
