"""Contrast against gates one case at a time, its theorems, and what it predicts of real ablation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from evenhand.core.component import Selection
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.lm.batches.variants import Variant
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import score_options
from evenhand.locate.contrast import Contrast
from evenhand.testing.tiny import tiny_lm
from oracles.gates import contrast, option_logp
from oracles.people import PEOPLE, use_case


def _favourable(lm: LM, case: Any) -> torch.Tensor:
    first, *others = (option_logp(lm, case.prompt, option) for option in case.options)
    return first - sum(others, torch.tensor(0.0)) / len(others)


@pytest.mark.parametrize(
    ("space", "name"), [("neuron", n) for n in ("gpt2", "opt", "bert", "t5")] + [("head", "qwen3")]
)
def test_scores_are_gap_weighted_differences_of_gate_gradients(space: Any, name: str) -> None:
    lm, scenario = tiny_lm(name), use_case()
    found = Contrast(space).score(lm, scenario)
    expected, gaps = contrast(lm, found.layout, scenario, lambda case: _favourable(lm, case))
    torch.testing.assert_close(found.scores.double(), expected, atol=2e-4, rtol=2e-3)
    assert list(found.notes["gaps"].values()) == pytest.approx(gaps, abs=1e-4)


def test_without_interaction_with_position_both_kinds_agree_where_prompts_do() -> None:
    lm = tiny_lm("llama")
    same = use_case(people={"a": ["Jo", "Mo"], "b": ["Jo", "Mo"]})
    for kind in ("effect", "activation"):
        assert not Contrast(kind=kind).score(lm, same).scores.any()  # type: ignore[arg-type]


def test_activation_kind_is_mean_difference_times_mean_gradient_from_the_end_of_the_prompt() -> None:
    lm = tiny_lm("llama")
    part = use_case(people={"a": ["Jo", "Mo"], "b": ["Al", "DaShawn"]}).only(variations=["car"])
    lengths = {len(lm.tokenizer(case.prompt)["input_ids"]) for case in part.cases}
    assert len(lengths) > 1, "prompts must differ in length for this to test the alignment"
    found = Contrast(kind="activation").score(lm, part)
    assert torch.equal(found.scores, Contrast(kind="activation").score(lm, part).scores)
    effect = Contrast().score(lm, part)
    assert found.notes["gaps"] == effect.notes["gaps"]
    assert not torch.allclose(found.scores, effect.scores, atol=1e-4)
    site = found.layout.sites[-1]
    assert bool(found.scores[-site.units :].any())


def test_a_unit_that_is_silent_scores_zero_and_swapping_groups_changes_nothing() -> None:
    lm, scenario = tiny_lm("llama"), use_case()
    with torch.no_grad():
        lm.module("model.layers.1.mlp.up_proj").weight[7] = 0
    scores = Contrast().score(lm, scenario).scores
    assert float(scores[48 + 7]) == 0
    swapped = replace(scenario, groups=("b", "a"))
    torch.testing.assert_close(Contrast().score(lm, swapped).scores, scores, atol=1e-6, rtol=1e-4)


def test_effect_predicts_real_ablation_better_than_activation() -> None:
    lm = tiny_lm("qwen3")
    part = use_case(people=PEOPLE).only(variations=["car"])
    layout = lm.layout("neuron")
    variants = [None, *(Variant(Selection.of(layout, [unit])) for unit in range(layout.size))]
    rows = torch.stack(
        [torch.stack([s[0] - s[1:].mean() for s in one]) for one in score_options(lm, part.cases, variants)]
    )
    ours = torch.tensor([case.group == "a" for case in part.cases])
    gap = rows[:, ours].mean(1) - rows[:, ~ours].mean(1)
    real = gap[0].sign() * (gap[0] - gap[1:])

    def agreement(kind: Any) -> float:
        return float(torch.corrcoef(torch.stack([Contrast(kind=kind).score(lm, part).scores.double(), real]))[0, 1])

    assert agreement("effect") > 0.8
    assert agreement("effect") > agreement("activation") + 0.1


def test_more_than_two_groups_are_each_compared_with_the_reference() -> None:
    lm = tiny_lm("gpt2")
    three = use_case(people={**PEOPLE, "c": ["Ada", "Eve"]}).only(variations=["car"])
    found = Contrast().score(lm, three)
    pairs = [three.where(lambda case, g=g: case.group in ("a", g)) for g in ("b", "c")]
    parts = [Contrast().score(lm, replace(pair, groups=("a", g))) for pair, g in zip(pairs, "bc", strict=True)]
    gaps = [abs(next(iter(part.notes["gaps"].values()))) for part in parts]
    expected = (parts[0].scores * gaps[0] + parts[1].scores * gaps[1]) / sum(gaps)
    torch.testing.assert_close(found.scores, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("wrong", ["group", "reference", "cases"])
def test_a_missing_side_is_an_error(wrong: str) -> None:
    scenario: Scenario = use_case()
    if wrong == "group":
        scenario = scenario.where(lambda case: case.group == "a")
    elif wrong == "reference":
        scenario = scenario.where(lambda case: case.group == "b")
    else:
        scenario = scenario.where(lambda case: False)
    with pytest.raises(UsageError, match="'people'"):
        Contrast().score(tiny_lm("llama"), scenario)
