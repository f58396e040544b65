"""What stays alive while units are scored: one batch, never a gradient or a score of the size of a weight."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch

from evenhand import find
from evenhand.lm.attribution import trace as tracing
from evenhand.testing.tiny import tiny_lm
from oracles.people import use_case


@pytest.mark.parametrize("name", ["activation_norm", "contrast", "snip"])
def test_one_batch_is_alive_and_nothing_of_the_size_of_a_weight(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("llama")
    lm.budget = 60
    writers = {id(p) for p in lm.model.parameters()}
    shapes = {tuple(p.shape) for p in lm.model.parameters() if p.ndim == 2}
    gc.collect()
    before = {id(x) for x in gc.get_objects() if issubclass(type(x), torch.Tensor)}
    plain, seen, batches = tracing._run, [], 0

    def run(lm: Any, rows: Any, layout: Any, gradients: bool) -> Any:
        nonlocal batches
        batches += 1
        # what the consumer still holds of earlier batches, right before the next one is made
        held = [x for x in gc.get_objects() if issubclass(type(x), torch.Tensor) and id(x) not in before | writers]
        seen.append(sum(x.numel() for x in held if x.ndim == 3))
        assert not [x.shape for x in held if tuple(x.shape) in shapes]
        assert all(p.grad is None for p in lm.model.parameters())
        batch = plain(lm, rows, layout, gradients)
        assert not any(x.requires_grad for x in (*batch.captured.values(), *batch.gradients.values(), batch.objective))
        return batch

    monkeypatch.setattr(tracing, "_run", run)
    find.build("locate", name).score(lm, use_case())
    assert batches > 2
    assert max(seen) <= lm.layout("neuron").size, "inputs or gradients of an earlier batch were still held"
