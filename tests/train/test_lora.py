"""Adapters in training: the model is exactly as it was found afterwards, whatever happened."""

from __future__ import annotations

import pytest
import torch

from evenhand.core.errors import CannotRun
from evenhand.lm.model import LM
from evenhand.testing.conformance import untouched
from evenhand.testing.tiny import FAMILY_NAMES, MOE_NAMES, tiny_lm
from evenhand.train.lora import adapted, query_value_maps


def _found(lm: LM) -> tuple[object, ...]:
    modules = [(name, id(module), sorted(vars(module))) for name, module in lm.model.named_modules()]
    return modules, [(name, id(p)) for name, p in lm.model.named_parameters()], str(lm.model.config)


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5", "bert", "mixtral"])
def test_a_model_is_left_as_it_was_found(family: str) -> None:
    lm = tiny_lm(family, dtype=torch.bfloat16)
    lm.model.get_input_embeddings().weight.requires_grad_(False)
    ids = torch.arange(5, 15)[None]
    more = {"decoder_input_ids": ids} if lm.kind == "encoder-decoder" else {}
    before, maps = _found(lm), query_value_maps(lm, [0])
    with torch.no_grad():
        plain = lm.model(input_ids=ids, **more).logits

    def train_and_fail() -> None:
        with torch.no_grad(), adapted(lm, maps, 2, 4.0, 0.5, 7) as added:
            assert [*added] == [f"{path}.lora_{factor}" for path in maps for factor in "AB"]
            assert {p.dtype for p in added.values()} == {torch.float32}
            assert torch.equal(lm.model(input_ids=ids, **more).logits, plain), "B is 0 and nothing is dropped out"
            added[f"{maps[0]}.lora_B"].fill_(0.5)
            changed = lm.model(input_ids=ids, **more).logits
            raise RuntimeError("stop" if not torch.equal(changed, plain) else "the adapter does nothing")

    with untouched(lm, family), pytest.raises(RuntimeError, match="stop"):
        train_and_fail()
    assert _found(lm) == before


def test_factors_are_drawn_by_seed_alone() -> None:
    lm = tiny_lm("llama")
    maps = query_value_maps(lm)
    drawn = []
    for seed in (1, 1, 2):
        torch.rand(3)
        with adapted(lm, maps, 2, 4.0, 0.0, seed) as added:
            drawn.append({name: p.detach().clone() for name, p in added.items()})
    first, again, other = drawn
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if name.endswith("A"))


@pytest.mark.parametrize("family", [*FAMILY_NAMES, *MOE_NAMES])
def test_query_and_value_maps_are_found_in_every_family(family: str) -> None:
    lm = tiny_lm(family)
    maps = query_value_maps(lm)
    blocks = len({site.path for site in lm.layout("head").sites})
    fused = family in ("gpt2", "gpt_neox", "phi3")
    assert len(maps) == blocks * (1 if fused else 2)
    assert len(query_value_maps(lm, [0])) < len(maps)
    with pytest.raises(CannotRun, match="nothing to adapt"):
        query_value_maps(lm, [99])
