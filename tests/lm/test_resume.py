"""Resuming from a later block equals running the whole model, and leaves the model as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from evenhand.core.component import Selection
from evenhand.lm.attribution.rows import Row
from evenhand.lm.attribution.trace import frozen, inputs
from evenhand.lm.batches.logits import forward
from evenhand.lm.batches.resume import States, blocks, first_block, keeping, resumed
from evenhand.lm.batches.variants import RowMasks, Variant
from evenhand.lm.model import LM
from evenhand.testing.conformance import untouched
from evenhand.testing.tiny import FAMILY_NAMES, MOE_NAMES, tiny_lm

INDEX = torch.tensor([1, 0, 1, 2])


def _inputs(lm: LM) -> dict[str, Any]:
    rows = [Row(0, tuple(range(10, 10 + n)), n, decoder=tuple(range(9, 9 + m))) for n, m in ((6, 3), (9, 5), (4, 4))]
    return inputs(lm, rows)


def _logits(lm: LM, given: dict[str, Any]) -> torch.Tensor:
    """Logits at the first, a middle and the last place of every row; those of padding too."""
    length = given.get("decoder_input_ids", given["input_ids"]).shape[1]
    row = torch.arange(len(given["input_ids"])).repeat_interleave(3)
    return forward(lm, given, row, torch.tensor([0, 3, length - 1]).repeat(len(row) // 3))[0]


def _of(given: dict[str, Any], index: torch.Tensor) -> dict[str, Any]:
    return {name: value[index] if isinstance(value, torch.Tensor) else value for name, value in given.items()}


def _kept(lm: LM, given: dict[str, Any]) -> States:
    with keeping(lm) as states:
        _logits(lm, given)
    return states


@pytest.mark.parametrize("name", [*FAMILY_NAMES, *MOE_NAMES])
def test_resuming_from_any_block_gives_the_same_logits(name: str) -> None:
    lm = tiny_lm(name)
    given = _inputs(lm)
    chosen = _of(given, INDEX)
    with untouched(lm, "resuming"):
        whole, states = _logits(lm, chosen), _kept(lm, given)
        for block in range(len(blocks(lm)) + 1):
            with resumed(lm, states, block, INDEX):
                assert torch.allclose(_logits(lm, chosen), whole, atol=1e-5, rtol=0)
    assert not any("forward" in vars(module) for module in lm.model.modules())


@pytest.mark.parametrize("name", ["gpt2", "opt", "gpt_neo", "gemma2", "bert", "t5"])
def test_a_block_before_the_first_is_not_run(name: str) -> None:
    """Otherwise resuming would be exact by doing everything again."""
    lm = tiny_lm(name)
    given, last = _inputs(lm), len(blocks(lm)) - 1
    states = _kept(lm, given)
    everything = torch.arange(3)
    sites = {site.path: number for number, site in enumerate(lm.layout("neuron").sites)}
    ran: list[int] = []
    for path, number in sites.items():
        lm.module(path).register_forward_hook(lambda *_, number=number: ran.append(number))
    with resumed(lm, states, last, everything):
        _logits(lm, given)
    assert ran == [last]


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_units_switched_off_after_resuming_equal_units_switched_off_in_the_whole_model(name: str) -> None:
    lm = tiny_lm(name)
    given, states = _inputs(lm), _kept(lm, _inputs(lm))
    for space in ("neuron", "head", "row"):
        layout = lm.layout(space)
        for site in (layout.sites[-1], layout.sites[len(layout.sites) // 2]):
            selection = Selection.where(
                layout, torch.cat([torch.arange(s.units) % 2 * (s == site) > 0 for s in layout.sites])
            )
            variants = RowMasks(lm, [None, Variant(selection)])
            which = torch.tensor([0, 1, 1, 0])
            with variants.rows(which):
                whole = _logits(lm, _of(given, INDEX))
                with resumed(lm, states, first_block(lm, selection), INDEX):
                    assert torch.allclose(_logits(lm, _of(given, INDEX)), whole, atol=1e-5, rtol=0)


def test_the_first_block_of_units_is_counted_through_all_stacks() -> None:
    lm = tiny_lm("t5")
    layout = lm.layout("neuron")
    assert blocks(lm) == [("encoder", 0), ("encoder", 1), ("decoder", 0), ("decoder", 1)]
    starts = layout.starts()
    assert first_block(lm, Selection.of(layout, [starts[3], starts[2] + 1])) == 2
    assert first_block(lm, Selection.of(layout, [])) == 4
    outside = tiny_lm("opt").layout("row")
    assert outside.sites[-1].stack == "outside"
    assert first_block(tiny_lm("opt"), Selection.of(outside, [outside.size - 1])) == 0


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_gradients_flow_from_the_first_block_on(name: str) -> None:
    lm = tiny_lm(name)
    given, block = _inputs(lm), len(blocks(lm)) - 2
    path = lm.layout("neuron").sites[block].path
    states = _kept(lm, given)

    def gradient() -> torch.Tensor:
        caught: list[torch.Tensor] = []
        hook = lm.module(path).register_forward_pre_hook(lambda module, args: caught.append(args[0]))
        with frozen(lm, gradients=True):
            total = lm.model(**given).logits.square().sum()
            (found,) = torch.autograd.grad(total, caught)
        hook.remove()
        return found

    whole = gradient()
    with resumed(lm, states, block, torch.arange(3)):
        torch.testing.assert_close(gradient(), whole, atol=1e-4, rtol=1e-4)
    assert float(whole.abs().max()) > 0


def test_nothing_is_left_behind_after_an_exception() -> None:
    lm = tiny_lm("t5")
    given = _inputs(lm)
    with untouched(lm, "an exception"):
        states = _kept(lm, given)
        with pytest.raises(KeyboardInterrupt), resumed(lm, states, 3, INDEX):
            raise KeyboardInterrupt
        with pytest.raises(KeyboardInterrupt), keeping(lm):
            raise KeyboardInterrupt
    assert not any("forward" in vars(module) for module in lm.model.modules())


def test_what_was_not_kept_and_another_batch_are_refused() -> None:
    lm = tiny_lm("llama")
    given = _inputs(lm)
    with keeping(lm, starts=[2]) as states:
        _logits(lm, given)
    with resumed(lm, states, 2, INDEX):
        assert _logits(lm, _of(given, INDEX)).isfinite().all()
    with pytest.raises(ValueError, match="before block 1 was not kept"), resumed(lm, states, 1, INDEX):
        pass
    with pytest.raises(ValueError, match="what was kept"), resumed(lm, states, 2, INDEX[:2]):
        _logits(lm, given)
    assert not any("forward" in vars(module) for module in lm.model.modules())
