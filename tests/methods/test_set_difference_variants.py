"""The paper's method and the authors' code, both against a slow version of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import transformers

from evenhand import find
from evenhand.core.component import Selection
from evenhand.core.errors import UsageError
from evenhand.lm.load import wrap
from evenhand.lm.model import LM, Identity
from evenhand.methods.set_difference import SetDifference
from evenhand.testing.tiny import tiny_lm, tiny_tokenizer
from oracles import unit_sets
from oracles.people import prose, use_case

CODE: dict[str, Any] = {"mode": "code", "tokens": "all", "neuron_minority": 0.15, "neuron_majority": 0.15}
CODE_HEADS: dict[str, Any] = {"space": "head", "groups": "sum", "reduce": "mean", "positions": "generation"}


def _places(selection: Selection) -> unit_sets.Units:
    return {(site.layer, int(unit)) for site, units in selection.by_site() for unit in units}


def _fit(lm: LM, variations: tuple[str, ...] = ("car",), **settings: Any) -> unit_sets.Units:
    method = find.build("methods", "set_difference", settings)
    return _places(method.fit(lm, use_case().only(variations=list(variations)), prose()).selection)


def test_the_papers_neurons() -> None:
    lm, scenario = tiny_lm("llama"), use_case().only(variations=["car"])
    theirs, ours = (unit_sets.neuron_scores(lm, unit_sets.of_group(scenario, g), "paper", False) for g in "ba")
    expected = unit_sets.highest(theirs, int(0.40 * 144)) - unit_sets.highest(ours, int(0.35 * 144))
    assert _fit(lm) == expected
    assert len(expected) >= int(0.40 * 144) - int(0.35 * 144)


def test_the_codes_neurons() -> None:
    lm, scenario = tiny_lm("llama"), use_case().only(variations=["car"])
    theirs, ours = (unit_sets.neuron_scores(lm, unit_sets.of_group(scenario, g), "code", True) for g in "ba")
    expected = unit_sets.highest_in_each(theirs, 0.30) - unit_sets.highest_in_each(ours, 0.15)
    assert _fit(lm, **CODE | {"neuron_minority": 0.30}) == expected
    small = unit_sets.highest_in_each(theirs, 0.15) - unit_sets.highest_in_each(ours, 0.15)
    assert _fit(lm, **CODE) == small
    assert {layer for layer, _ in expected} == {0, 1, 2}
    assert len(expected) >= 3 * (int(0.30 * 48) - int(0.15 * 48))


def test_the_codes_path_takes_from_every_layer_in_turn() -> None:
    lm, scenario = tiny_lm("llama"), use_case().only(variations=["car"])
    method = find.build("methods", "set_difference", CODE | {"neuron_majority": 0.0, "neuron_minority": 0.10})
    edit, path = method.fit(lm, scenario, prose()), method.path(lm, scenario, prose(), [3, 12])
    assert list(path[0].selection.per_layer().values()) == [1, 1, 1]
    assert len(edit.selection) == 12
    assert path[1].selection == edit.selection


@pytest.mark.parametrize("reduce", ["max", "mean"])
@pytest.mark.parametrize("positions", ["prompt", "generation"])
def test_heads_apart(reduce: str, positions: str) -> None:
    lm, scenario = tiny_lm("llama"), use_case().only(variations=["car"])
    theirs, ours = (unit_sets.head_scores(lm, unit_sets.of_group(scenario, g), reduce, positions) for g in "ba")
    expected = unit_sets.highest(theirs, 6) - unit_sets.highest(ours, 3)
    found = _fit(lm, space="head", reduce=reduce, positions=positions, head_minority=6, head_majority=3)
    assert found == expected


def test_heads_by_the_authors_loop() -> None:
    lm, scenario = tiny_lm("llama"), use_case().only(variations=["car"])
    before = {name: p.detach().clone() for name, p in lm.model.named_parameters()}
    order = unit_sets.one_by_one(lm, scenario, 5)
    assert _fit(lm, **CODE_HEADS, head_minority=5) == set(order)
    path = SetDifference(**CODE_HEADS).path(lm, scenario, prose(), [0, 1, 3])
    assert [_places(edit.selection) for edit in path] == [set(), set(order[:1]), set(order[:3])]
    assert all(torch.equal(p, before[name]) for name, p in lm.model.named_parameters())
    sides = [unit_sets.head_scores(lm, unit_sets.of_group(scenario, g), "mean", "generation") for g in "ab"]
    sums = [[sum(pair) for pair in zip(*rows, strict=True)] for rows in zip(*sides, strict=True)]
    assert unit_sets.highest(sums, 5) != set(order), "scoring again must matter for this to test it"


def test_the_authors_loop_over_several_variations() -> None:
    lm, scenario = tiny_lm("llama"), use_case()
    car, lamp = (_fit(lm, (item,), **CODE_HEADS, head_minority=8) for item in ("car", "lamp"))
    assert _fit(lm, ("car", "lamp"), **CODE_HEADS, head_minority=8) == car & lamp
    path = SetDifference(**CODE_HEADS).path(lm, scenario, prose(), [4, 12])
    assert [len(edit.selection) for edit in path] == [4, 12]


@pytest.mark.parametrize("wrong", [{"space": "neuron"}, {"less": "utility"}, {"prune": "majority"}])
def test_a_sum_protects_nothing_and_says_so(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="groups 'sum' takes heads"):
        find.build("methods", "set_difference", {"space": "head", "groups": "sum"} | wrong)


@pytest.fixture(scope="module")
def many_heads() -> LM:
    """12 blocks with 12 heads."""
    config = transformers.LlamaConfig(
        vocab_size=380, hidden_size=48, intermediate_size=16, num_hidden_layers=12, num_attention_heads=12,
        num_key_value_heads=12, max_position_embeddings=128,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = transformers.LlamaForCausalLM(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return wrap(model, tiny_tokenizer("llama"), Identity("many heads"))


def test_a_small_model_protects_at_least_one_head(many_heads: LM) -> None:
    scenario = use_case().only(variations=["car"])
    theirs, ours = (unit_sets.head_scores(many_heads, unit_sets.of_group(scenario, g), "max", "prompt") for g in "ba")
    (safe,) = unit_sets.highest(ours, 1)
    assert safe in unit_sets.highest(theirs, 5), "must be worth protecting for this to test it"
    assert _fit(many_heads, space="head") == unit_sets.highest(theirs, 5) - {safe}
    assert _fit(many_heads, space="head", head_majority=0) == unit_sets.highest(theirs, 5)


def test_a_very_small_model_loses_at_least_one_head() -> None:
    lm, scenario = tiny_lm("llama"), use_case().only(variations=["lamp"])
    theirs, ours = (unit_sets.head_scores(lm, unit_sets.of_group(scenario, g), "max", "prompt") for g in "ba")
    assert unit_sets.highest(theirs, 1) == unit_sets.highest(ours, 1), "must coincide for this to test it"
    expected = unit_sets.highest(theirs, 2) - unit_sets.highest(ours, 1)
    assert _fit(lm, ("lamp",), space="head") == expected
    assert len(expected) == 1
    assert _fit(lm, ("lamp",), space="head", head_minority=1.0, head_majority=1.0) == set()


def test_every_setting_survives_json() -> None:
    built = find.build("methods", "set_difference", json.loads(json.dumps(CODE | CODE_HEADS)))
    assert (built.mode, built.groups, built.positions, built.reduce) == ("code", "sum", "generation", "mean")
