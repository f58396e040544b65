"""The guard against a general unit that carries the gap, the causal order against real edits, and CNA by hand."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from evenhand import find
from evenhand.core.case import Case
from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.scenario import Context, Scenario
from evenhand.edits.scale import Scale
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import next_token, score_options
from evenhand.locate.logit_score import LogitScore
from evenhand.methods.neuron_editing import NeuronEditing
from evenhand.testing.rigged import Rigged, rigged
from evenhand.testing.tiny import tiny_lm
from oracles.logit_loop import NAMES, Loop

FEW = NeuronEditing(units=8, candidates=12, randoms=40, damage=1.0)


@pytest.fixture
def toy() -> Rigged:
    return rigged()


@torch.no_grad()
def _massive(toy: Rigged) -> Scenario:
    """Make the carriers' activations huge and what they write of them small, which changes nothing that the model says.

    Returns neutral texts that begin with names that they fire on.
    """
    for site, units in toy.carriers["neuron"].by_site():
        mlp = toy.lm.model.model.layers[site.layer].mlp
        mlp.up_proj.weight[units] *= 4096.0
        mlp.down_proj.weight[:, units] /= 4096.0
    south = [case.name for case in toy.report.cases if case.group == "south"]
    texts = [f"{name}: {case.prompt}" for name, case in zip(south, toy.utility.cases, strict=False)]
    cases = tuple(Case(str(i), f" {text}", "text") for i, text in enumerate(texts))
    return Scenario("texts", cases, (Context("text", "sentence"),))


def _fitted(toy: Rigged, method: NeuronEditing, utility: Scenario) -> tuple[Selection, list[str]]:
    told: list[str] = []
    toy.lm.notify = told.append
    return method.fit(toy.lm, toy.bias, utility).selection, told


def test_a_general_unit_is_left_alone_and_told_and_only_with_the_guard(toy: Rigged) -> None:
    carriers = toy.carriers["neuron"]
    free, _ = _fitted(toy, FEW, toy.utility)
    assert len(carriers - free) == 0
    named = _massive(toy)
    kept, told = _fitted(toy, FEW, named)
    assert len(kept & carriers) == 0 < len(kept)
    (line,) = told
    assert re.match(r"neuron_editing: [4-9] of \d+ candidates that close the gap are general and left alone: ", line)
    assert re.search(r"decoder\.1 neuron 5 \(its largest activation is \d{4,} times that of the median", line)
    bare, told = _fitted(toy, dataclasses.replace(FEW, guard=False), named)
    assert len(carriers - bare) == 0
    assert told == []


def test_a_candidate_is_general_by_damage_only_above_the_least(toy: Rigged) -> None:
    """The quantile is the smallest damage of random units here, so that the least alone decides."""
    few = dataclasses.replace(FEW, damage=0.0, sinks=1.0)
    strict, told = _fitted(toy, dataclasses.replace(few, least=0.0), toy.utility)
    assert "neutral text moves by" in told[0]
    free, told = _fitted(toy, dataclasses.replace(few, least=1e3), toy.utility)
    assert told == []
    assert len(free) > len(strict)
    assert len(toy.carriers["neuron"] - free) == 0


@pytest.mark.parametrize("least", [-0.01, float("nan"), float("inf"), "much"])
def test_a_least_damage_that_is_none_is_refused(least: object) -> None:
    with pytest.raises(UsageError, match="least"):
        find.build("methods", "neuron_editing", {"least": least})


def test_every_excluded_candidate_is_told_with_its_reason(toy: Rigged) -> None:
    """All that fire anywhere are general here, which are more than a few."""
    _, told = _fitted(toy, dataclasses.replace(FEW, massive=1e-9), toy.utility)
    line = next(line for line in told if "are general and left alone" in line)
    count = int(re.match(r"neuron_editing: (\d+) of", line)[1])  # type: ignore[index]
    assert count > 6
    assert len(set(re.findall(r"decoder\.\d neuron \d+ \(", line))) == count
    assert line.count("its largest activation is") == count


def test_a_path_beyond_the_guarded_candidates_says_how_many_it_never_saw(toy: Rigged) -> None:
    told: list[str] = []
    toy.lm.notify = told.append
    size = toy.lm.layout("neuron").size
    FEW.path(toy.lm, toy.bias, toy.utility, [1, 2])
    assert not any("goes on" in line for line in told), "as many as there are candidates left"
    told.clear()
    FEW.path(toy.lm, toy.bias, _massive(toy), [2, size])
    excluded = int(re.match(r"neuron_editing: (\d+) of \d+ candidates that close", told[0])[1])  # type: ignore[index]
    left = int(re.match(r"neuron_editing: (\d+) candidates close the gap and pass the guard; ", told[1])[1])  # type: ignore[index]
    assert f"the largest edit ({size} units) goes on with {size - left - excluded} never tried or of no help" in told[1]
    assert (
        f"which the guard has not seen, and {excluded} that the guard excluded; try more candidates (now 12)" in told[1]
    )
    dataclasses.replace(FEW, guard=False).path(toy.lm, toy.bias, toy.utility, [size - 1])
    assert len(told) == 3
    assert "guard" not in told[2]
    assert (
        f"({size - 1} units) goes on with {size - 1 - int(told[2].split()[1])} never tried or of no help; " in told[2]
    )


def test_general_candidates_come_last_on_the_path(toy: Rigged) -> None:
    carriers, size = toy.carriers["neuron"], toy.lm.layout("neuron").size
    sizes = [3, 6, size - 8, size]
    few, more, almost, whole = (each.selection for each in FEW.path(toy.lm, toy.bias, _massive(toy), sizes))
    assert [len(each) for each in (few, more, almost, whole)] == sizes
    assert len(few - more) == len(more - almost) == 0
    assert len(almost & carriers) == 0
    assert len(carriers - whole) == 0


def test_without_candidates_left_it_says_so_and_edits_nothing(toy: Rigged) -> None:
    strict = dataclasses.replace(FEW, sinks=0.0)
    kept, told = _fitted(toy, strict, _massive(toy))
    assert len(kept) == 0
    assert told[-1].startswith("neuron_editing: every candidate that closes the gap is general (")
    assert "guard = false" in told[-1]


def test_without_a_gap_it_says_so_and_edits_nothing(toy: Rigged) -> None:
    same = tuple(dataclasses.replace(case, prompt="Sell it? I say") for case in toy.bias.cases)
    level = dataclasses.replace(toy, bias=dataclasses.replace(toy.bias, cases=same))
    kept, told = _fitted(level, FEW, toy.utility)
    assert len(kept) == 0
    assert told == ["neuron_editing: no unit adds to the gap, so there is none to edit"]


def _gap(lm: LM, scenario: Scenario) -> float:
    """Mean over variations of log p(yes) − log p(no), north less south."""
    logp = torch.stack(score_options(lm, scenario.cases)[0])
    odds = logp[:, 0] - logp[:, 1]
    north = torch.tensor([case.group == "north" for case in scenario.cases])
    gaps = [odds[north & at].mean() - odds[~north & at].mean() for at in _variations(scenario.cases)]
    assert min(gaps) > 0, "the weighting by signed gaps is not tested here"
    return float(sum(gap * gap for gap in gaps) / sum(gaps))


def _variations(cases: Sequence[Case]) -> list[Tensor]:
    names = dict.fromkeys(case.variation for case in cases)
    return [torch.tensor([case.variation == name for case in cases]) for name in names]


def test_candidates_are_in_the_order_of_real_edits(toy: Rigged) -> None:
    """One variation, so that the weighted gap is the gap."""
    one = toy.bias.only(variations=[toy.bias.cases[0].variation])
    method = dataclasses.replace(FEW, guard=False)
    order = [method.path(toy.lm, one, toy.utility, [n])[0].selection for n in (1, 2, 3)]
    first, second, third = order[0], order[1] - order[0], order[2] - order[1]
    closed = []
    for unit in (first, second, third):
        before = _gap(toy.lm, one)
        with Scale(unit).applied(toy.lm):
            closed.append(before - _gap(toy.lm, one))
    assert closed[0] > closed[1] > closed[2] > 0


def test_the_logit_strategy_is_the_order_of_the_logit_score(toy: Rigged) -> None:
    scores = LogitScore().score(toy.lm, toy.bias).scores
    best = Selection.of(toy.lm.layout("neuron"), scores.argsort(descending=True)[:8])
    assert dataclasses.replace(FEW, strategy="logit", guard=False).fit(toy.lm, toy.bias, toy.utility).selection == best


def test_a_model_without_logit_score_is_searched_by_gradient_or_refused() -> None:
    lm, told = tiny_lm("bert"), list[str]()
    lm.notify = told.append
    bias = _jobs(("is",))
    texts = Scenario("texts", (Case("0", "She said 3.", "text"),), (Context("text", "sentence"),))
    assert len(dataclasses.replace(FEW, guard=False).fit(lm, bias, texts).selection) > 0
    assert told[0].startswith("neuron_editing: no logit score (")
    with pytest.raises(CannotRun, match="masked"):
        dataclasses.replace(FEW, strategy="logit").fit(lm, bias, texts)


def _jobs(frames: Sequence[str]) -> Scenario:
    cases = tuple(
        Case(
            f"{frame}/{i}/{who}", f"The {who} {frame} a", f"{own}", frame, group, job, who, (f" {job}", f" {other}"), 0
        )
        for frame in frames
        for i, (own, job, other) in enumerate([("her", "teacher", "doctor"), ("his", "doctor", "teacher")])
        for group, who in (("woman", "sister"), ("man", "brother"))
    )
    return Scenario("jobs", cases, (Context("her", "choice"), Context("his", "choice")), ("woman", "man"))


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_cna_edit_is_the_difference_of_two_softmax_loops(family: str) -> None:
    """Only the first frame is read; a target's difference counts with the sign and size of its gap."""
    lm, bias = tiny_lm(family), _jobs(("works as", "is"))
    total, weight = torch.zeros(lm.layout("neuron").size), 0.0
    for own in ("her", "his"):
        parts, logs = [], []
        for group in ("woman", "man"):
            (case,) = [c for c in bias.cases if (c.context, c.group, c.variation) == (own, group, "works as")]
            ids = lm.tokenizer(case.prompt)["input_ids"]
            target = lm.tokenizer(case.prompt + case.options[0])["input_ids"][len(ids)]
            loop = Loop(lm.model, NAMES[family], {"input_ids": torch.tensor([ids])}, len(ids) - 1)
            loop.run()
            logs.append(float(next_token(lm, [case.prompt])[0][0, target]))
            parts.append(torch.cat([loop.neurons(layer)[:, target] for layer in range(loop.layers())]))
        gap = logs[0] - logs[1]
        total, weight = total + gap * (parts[0] - parts[1]), weight + abs(gap)
    edit = NeuronEditing(mode="cna").fit(lm, bias, bias)
    assert edit.selection == Selection.of(lm.layout("neuron"), total.argsort(descending=True)[:18])
    assert edit.factor == 0.0
    found = LogitScore(kind="cna", exact=1000).score(lm, bias.only(variations=["works as"])).scores
    assert torch.allclose(found, total / weight, atol=1e-5)
