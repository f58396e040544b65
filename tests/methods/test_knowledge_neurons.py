"""The refinement against a loop over prompts and facts; what a fact is; the path; where nothing can be refined."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest
import torch

from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.locate.integrated_gradients import IntegratedGradients
from evenhand.methods.knowledge_neurons import KnowledgeNeurons, refined
from evenhand.testing.rigged import Rigged, rigged
from evenhand.testing.tiny import tiny_lm
from oracles.people import prose, use_case


@pytest.fixture(scope="module")
def toy() -> Rigged:
    return rigged()


def _by_hand(facts: list[torch.Tensor], share: float) -> tuple[float, list[set[int]]]:
    """The paper's steps (1) and (2) at one share: counts of prompts in which a unit reaches 0.2 of the maximum."""
    found: list[set[int]] = []
    for scores in facts:
        counts: Counter[int] = Counter()
        for prompt in scores.tolist():
            counts.update(unit for unit, score in enumerate(prompt) if score > 0 and score >= 0.2 * max(prompt))
        found.append({unit for unit, count in counts.items() if count >= share * len(scores) - 1e-9})
    return sum(map(len, found)) / len(found), found


def _expected(facts: list[torch.Tensor]) -> set[int]:
    share = 0.7
    while _by_hand(facts, share)[0] > 5 and share < 0.99:
        share += 0.05
    while _by_hand(facts, share)[0] < 2 and share > 0.06:
        share -= 0.05
    held = _by_hand(facts, share)[1]
    return {unit for unit in set().union(*held) if sum(unit in each for each in held) >= 0.1 * len(held)}


def _small() -> Scenario:
    """Two facts of four prompts, answered with one token."""
    small = use_case(people={"a": ["Hunter", "Jo"], "b": ["Jamal", "Al"]})
    return replace(small, cases=tuple(replace(case, options=("!", "?")) for case in small.cases))


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_papers_neurons_are_those_of_the_loop(name: str) -> None:
    lm, scenario = tiny_lm(name), _small()
    published = IntegratedGradients(target="answer", rule="riemann", steps=20)
    facts = [found.scores for _, found in published.each(lm, scenario)]
    edit = KnowledgeNeurons(mode="paper").fit(lm, scenario, prose())
    assert [len(fact) for fact in facts] == [4, 4]
    assert set(edit.selection.units.tolist()) == _expected(facts)
    assert len(edit.selection) > 0


def test_a_fact_of_a_gap_is_what_each_prompt_adds_to_it() -> None:
    lm, scenario = tiny_lm("gpt2"), _small()
    facts: list[torch.Tensor] = []
    for part, found in IntegratedGradients().each(lm, scenario):
        ours, theirs = ([i for i, case in enumerate(part.cases) if case.group == g] for g in "ab")
        if found.value[ours].mean() < found.value[theirs].mean():
            ours, theirs = theirs, ours
        adds = [found.scores[i] - found.scores[theirs].mean(0) for i in ours]
        adds += [found.scores[ours].mean(0) - found.scores[i] for i in theirs]
        facts.append(torch.stack(adds))
    edit = KnowledgeNeurons().fit(lm, scenario, prose())
    assert set(edit.selection.units.tolist()) == _expected(facts)
    assert len(edit.selection) > 0


def test_the_share_moves_until_facts_have_two_to_five_units() -> None:
    kept = torch.tensor([[1.0, 0.9, 0.8, 0.75, 0.7, 0.7, 0.3], [1.0, 0.9, 0.8, 0.75, 0.7, 0.7, 0.2]])
    assert refined(kept, 0.7, 2.0, 5.0).sum(1).tolist() == [4, 4]
    assert refined(kept, 1.0, 2.0, 5.0).sum(1).tolist() == [2, 2]
    assert refined(kept, 0.7, 7.0, 9.0).sum(1).tolist() == [7, 7]
    jump = torch.tensor([[0.7] * 9 + [0.75]])
    assert refined(jump, 0.7, 2.0, 5.0).sum(1).tolist() == [10], "where no share fits, the one that gives more"
    assert refined(torch.ones(1, 9), 0.7, 2.0, 5.0).sum(1).tolist() == [9]
    assert refined(torch.zeros(1, 9), 0.7, 2.0, 5.0).sum(1).tolist() == [0]


def test_it_finds_the_neurons_that_carry_a_rigged_gap_and_the_path_too(toy: Rigged) -> None:
    carriers = toy.carriers["neuron"]
    fitted = KnowledgeNeurons().fit(toy.lm, toy.bias, toy.utility)
    assert len(fitted.selection) <= 5 * len(toy.bias.variations("sale"))
    assert len(fitted.selection & carriers) >= len(carriers) / 2
    (edit,) = KnowledgeNeurons().path(toy.lm, toy.bias, toy.utility, [len(carriers)])
    assert len(edit.selection & carriers) >= len(carriers) / 2


def test_missed_sums_and_another_baseline_are_told_by_fit_and_by_path() -> None:
    lm, told = tiny_lm("llama"), list[str]()
    lm.notify = told.append
    rough = KnowledgeNeurons(mode="paper", steps=2)
    rough.fit(lm, _small(), prose())
    rough.path(lm, _small(), prose(), [3])
    assert len(told) == 2
    assert all(re.match(r"knowledge_neurons: in \d of 3 layers attributions miss their sum", line) for line in told)
    gemma = tiny_lm("gemma2")
    gemma.notify = told.append
    assert len(KnowledgeNeurons(steps=32).fit(gemma, _small(), prose()).selection) > 0
    assert told[2:] == [
        "knowledge_neurons: a norm behind the writers makes nothing of a zero baseline; the mean is used"
    ]
    with pytest.raises(UsageError, match="use baseline 'mean'"):
        KnowledgeNeurons(baseline="zero").fit(gemma, _small(), prose())


def test_facts_of_few_prompts_are_left_out_and_named() -> None:
    lm, told = tiny_lm("llama"), list[str]()
    lm.notify = told.append
    whole = _small()
    lamp = [case for case in whole.cases if case.variation == "lamp"]
    thin: Scenario = replace(whole, cases=tuple(case for case in whole.cases if case not in lamp[1:-1]))
    found = KnowledgeNeurons(mode="paper", prompts=3).fit(lm, thin, prose())
    assert [line for line in told if "as shop/lamp" in line]
    car = KnowledgeNeurons(mode="paper", prompts=3).fit(lm, whole.only(variations=["car"]), prose())
    assert found.selection == car.selection
    with pytest.raises(UsageError, match="no variation has 5 cases"):
        KnowledgeNeurons(prompts=5).fit(lm, whole, prose())
    with pytest.raises(UsageError, match="more than most"):
        KnowledgeNeurons(fewest=6.0)
