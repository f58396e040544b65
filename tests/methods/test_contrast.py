"""The re-ranking against real edits of the weights, its guard, and its path."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.locate.contrast import Contrast as Scores
from evenhand.methods.contrast import Contrast, Loss, taking
from evenhand.testing.tiny import tiny_lm
from oracles.ablation import loss_of, taken
from oracles.people import prose, use_case


@pytest.mark.parametrize("name", ["qwen2", "opt"])
def test_loss_and_order_are_those_of_real_edits(name: str) -> None:
    lm, scenario = tiny_lm(name), use_case()
    method = Contrast(candidates=10, tolerance=5.0)
    plain = loss_of(lm, scenario, prose(), 5.0)
    pool = [int(i) for i in Scores().score(lm, scenario).scores.argsort(descending=True)[:10]]
    loss = Loss(method, lm, scenario, prose())
    sets = [[], pool[:1], pool[3:4], pool[:3]]
    assert loss.of(sets) == pytest.approx([plain(s) for s in sets], abs=2e-4)
    expected = taken(plain, pool, 0.005)
    found, left, harmful = taking(loss, pool, 0.005)
    assert found == expected
    assert sorted([*found, *left, *harmful]) == sorted(pool)
    assert expected, "no unit lowered the loss, so nothing was tested"


def test_every_unit_taken_lowers_the_loss_and_the_guard_can_forbid_all() -> None:
    lm, scenario = tiny_lm("qwen3"), use_case()
    method = Contrast(tolerance=1.0)
    units = [int(u) for u in method.fit(lm, scenario, prose()).selection.units]
    assert 0 < len(units) <= method.units
    strict = Contrast(tolerance=1e-9).fit(lm, scenario, prose())
    assert len(strict.selection) == 0
    loss = Loss(method, lm, scenario, prose())
    assert loss.of([units])[0] < 1


def test_the_path_is_nested_reaches_every_size_and_starts_with_the_units_taken() -> None:
    lm, scenario = tiny_lm("gpt2"), use_case()
    method = Contrast(tolerance=1.0)
    fitted = method.fit(lm, scenario, prose())
    n = len(fitted.selection)
    path = method.path(lm, scenario, prose(), [0, n, 60, 144])
    assert [len(edit.selection) for edit in path] == [0, n, 60, 144]
    assert path[1].selection == fitted.selection
    assert len(path[1].selection - path[2].selection) == 0


def test_without_rerank_it_is_the_top_of_the_scores() -> None:
    lm, scenario = tiny_lm("llama"), use_case()
    scores = Scores().score(lm, scenario).scores
    edit = Contrast(rerank=False, units=5).fit(lm, scenario, prose())
    assert set(edit.selection.units.tolist()) == set(scores.topk(5).indices.tolist())


@pytest.mark.parametrize("kind", ["pair", "number"])
def test_other_outcomes_are_ranked_too(kind: str) -> None:
    lm, scenario = tiny_lm("llama"), use_case(kind)  # type: ignore[arg-type]
    edit = Contrast(tolerance=100.0, candidates=24).fit(lm, scenario, prose())
    assert len(edit.selection) > 0


def test_no_gap_means_no_units() -> None:
    lm = tiny_lm("llama")
    told: list[str] = []
    lm.notify = told.append
    same = use_case(people={"a": ["Jo", "Mo"], "b": ["Jo", "Mo"]})
    assert len(Contrast().fit(lm, same, prose()).selection) == 0
    assert told
    assert [len(e.selection) for e in Contrast().path(lm, same, prose(), [0, 3])] == [0, 3]


def _certain(scenario: Scenario, variation: str) -> Scenario:
    """The use case with a variation in which the other answer is so long that " yes" has all the probability."""
    options = (" yes", " no, it is late, and so it is" * 8)
    cases = (replace(case, options=options) if case.variation == variation else case for case in scenario.cases)
    return replace(scenario, cases=tuple(cases))


def test_a_choice_answered_with_certainty_has_no_gap_and_yields_no_units() -> None:
    lm, told = tiny_lm("qwen3"), list[str]()
    lm.notify = told.append
    sure = _certain(use_case().only(variations=["car"]), "car")
    method = Contrast(candidates=4, tolerance=100.0)
    assert Loss(method, lm, sure, prose()).base.gap.isnan().all()
    assert len(method.fit(lm, sure, prose()).selection) == 0
    assert len(told) == 2
    assert told[0].startswith("contrast: 1 of 1 gaps are undefined and left out (every answer is certain")
    assert told[1].endswith("so no unit is worth taking")
    assert [len(edit.selection) for edit in method.path(lm, sure, prose(), [0, 3])] == [0, 3]


def test_beside_a_certain_variation_the_others_are_judged_as_alone() -> None:
    lm, told = tiny_lm("qwen3"), list[str]()
    lm.notify = told.append
    method = Contrast(candidates=4, tolerance=100.0)
    both, alone = _certain(use_case(), "car"), use_case().only(variations=["lamp"])
    sets = [[1], [5, 60], list(range(20))]
    found, expected = (Loss(method, lm, scenario, prose()).of(sets) for scenario in (both, alone))
    assert found == pytest.approx(expected, rel=1e-4)
    assert len(method.fit(lm, both, prose()).selection) > 0
    assert [text[:30] for text in told] == ["contrast: 1 of 2 gaps are unde"]


def test_heads_can_be_chosen_and_too_many_units_are_refused() -> None:
    lm, scenario = tiny_lm("llama"), use_case()
    assert Contrast("head", tolerance=5.0).fit(lm, scenario, prose()).selection.layout.space == "head"
    with pytest.raises(UsageError, match="13 units of a space of 12"):
        Contrast("head").path(lm, scenario, prose(), [13])


def test_fitting_makes_no_parameter_gradient() -> None:
    lm = tiny_lm("llama")
    Contrast(candidates=4).fit(lm, use_case(), prose())
    assert all(p.grad is None and p.requires_grad for p in lm.model.parameters())
    assert not any(torch.is_tensor(v) for v in vars(lm).values())
