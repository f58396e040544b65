"""The paper's formula by hand, and the algebra of its sets."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch

from evenhand.core.component import Selection
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.lm.model import LM
from evenhand.locate.activation_norm import ActivationNorm
from evenhand.locate.name_attention import NameAttention
from evenhand.methods.set_difference import SetDifference
from evenhand.testing.tiny import tiny_lm
from oracles.people import PEOPLE, prose, use_case


def _of(scenario: Scenario, group: str) -> Scenario:
    return scenario.where(lambda case: case.group == group)


def _by_hand(minority: torch.Tensor, majority: torch.Tensor, n_min: int, n_maj: int) -> set[int]:
    first = sorted(range(len(minority)), key=lambda i: (-float(minority[i]), i))[:n_min]
    second = sorted(range(len(majority)), key=lambda i: (-float(majority[i]), i))[:n_maj]
    return set(first) - set(second)


def _units(selection: Selection) -> set[int]:
    return {int(unit) for unit in selection.units}


@pytest.mark.parametrize("name", ["llama", "gpt2", "t5"])
def test_neurons_are_the_papers_set(name: str) -> None:
    lm, scenario = tiny_lm(name), use_case().only(variations=["car"])
    found = SetDifference().fit(lm, scenario, prose())
    ours, theirs = (ActivationNorm().score(lm, _of(scenario, g)).scores for g in ("a", "b"))
    size = len(ours)
    assert _units(found.selection) == _by_hand(theirs, ours, int(0.40 * size), int(0.35 * size))
    assert found.factor == 0
    assert int(0.40 * size) - int(0.35 * size) <= len(found.selection) < size * 0.4
    swapped = SetDifference(prune="majority").fit(lm, scenario, prose())
    assert _units(swapped.selection) == _by_hand(ours, theirs, int(0.40 * size), int(0.35 * size))


def test_heads_are_the_papers_set() -> None:
    lm, scenario = tiny_lm("llama"), use_case().only(variations=["car"])
    found = SetDifference("head", head_minority=7.0, head_majority=3.0).fit(lm, scenario, prose())
    ours, theirs = (NameAttention().score(lm, _of(scenario, g)).scores for g in ("a", "b"))
    assert _units(found.selection) == _by_hand(theirs, ours, 7, 3)


def test_default_head_counts_are_the_papers_on_its_model() -> None:
    default = SetDifference("head")
    assert default.head_minority * 1024 == 40
    assert default.head_majority * 1024 == 5


def _fit(lm: LM, scenario: Scenario, **settings: Any) -> Selection:
    return SetDifference(**settings).fit(lm, scenario, prose()).selection


def test_intersection_and_vote_are_over_the_sets_of_single_variations() -> None:
    lm, scenario = tiny_lm("llama"), use_case()
    wide: dict[str, Any] = {"neuron_minority": 0.6, "neuron_majority": 0.3}
    car, lamp = (_fit(lm, scenario.only(variations=[v]), **wide) for v in ("car", "lamp"))
    both = _fit(lm, scenario, **wide)
    assert both == car & lamp
    assert _fit(lm, scenario, combine="vote", votes=1, **wide) == car | lamp
    assert _fit(lm, scenario, combine="vote", votes=2, **wide) == both
    assert _fit(lm, scenario, combine="vote", **wide) == both, "a majority of two is two"
    assert 0 < len(both) < len(car)


def test_pooled_scores_all_cases_at_once() -> None:
    lm, scenario = tiny_lm("llama"), use_case()
    ours, theirs = (ActivationNorm().score(lm, _of(scenario, g)).scores for g in ("a", "b"))
    expected = _by_hand(theirs, ours, int(0.40 * 144), int(0.35 * 144))
    assert _units(_fit(lm, scenario, combine="pooled")) == expected


def test_less_utility_protects_what_the_texts_use() -> None:
    lm, scenario = tiny_lm("llama"), use_case().only(variations=["car"])
    theirs = ActivationNorm().score(lm, _of(scenario, "b")).scores
    texts = ActivationNorm().score(lm, prose()).scores
    assert _units(_fit(lm, scenario, less="utility")) == _by_hand(theirs, texts, int(0.40 * 144), int(0.35 * 144))
    with pytest.raises(UsageError, match="utility texts"):
        SetDifference(less="utility").fit(lm, scenario, prose().where(lambda case: False))


def test_minorities_are_united() -> None:
    lm = tiny_lm("llama")
    three = use_case(people={**PEOPLE, "c": ["Ada", "Eve"]}).only(variations=["car"])
    pairs = [replace(three.where(lambda case, g=g: case.group in ("a", g)), groups=("a", g)) for g in ("b", "c")]
    assert _fit(lm, three) == _fit(lm, pairs[0]) | _fit(lm, pairs[1])


@pytest.mark.parametrize("combine", ["pooled", "intersection", "vote"])
def test_the_path_is_nested_and_passes_through_the_papers_set(combine: Any) -> None:
    lm, scenario = tiny_lm("gpt2"), use_case()
    method = SetDifference(combine=combine)
    edit = method.fit(lm, scenario, prose())
    sizes = [0, 1, 3, len(edit.selection), 20]
    path = method.path(lm, scenario, prose(), sizes)
    assert [len(each.selection) for each in path] == sizes
    assert path[3].selection == edit.selection
    for small, large in itertools.pairwise(path):
        assert len(small.selection - large.selection) == 0


def test_wrong_settings_say_what_is_possible() -> None:
    lm, scenario = tiny_lm("llama"), use_case()
    with pytest.raises(UsageError, match="3 votes"):
        SetDifference(combine="vote", votes=3).fit(lm, scenario, prose())
    with pytest.raises(UsageError, match=r"only .* of 144"):
        SetDifference().path(lm, scenario, prose(), [140])
    with pytest.raises(UsageError, match="500"):
        SetDifference(neuron_minority=500.0).fit(lm, scenario, prose())
    with pytest.raises(UsageError, match="reference"):
        SetDifference().fit(lm, _of(scenario, "b"), prose())


def test_nothing_left_is_told() -> None:
    lm, scenario = tiny_lm("llama"), use_case()
    told: list[str] = []
    lm.notify = told.append
    assert (
        len(SetDifference(neuron_minority=0.01, neuron_majority=1.0 - 1e-9).fit(lm, scenario, prose()).selection) == 0
    )
    assert told
