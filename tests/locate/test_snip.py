"""SNIP per unit against gates, and per weight against gradients of the weights, one case at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from evenhand.core.component import Attribution
from evenhand.core.entries import MatrixScores
from evenhand.core.errors import UsageError
from evenhand.lm.attribution.answers import answer_rows
from evenhand.locate.snip import Snip
from evenhand.testing.tiny import tiny_lm
from oracles.gates import gate_gradient, option_logp
from oracles.people import use_case
from oracles.weights import answer_places, own_answer, snip


@pytest.mark.parametrize(
    ("space", "name"), [("neuron", "llama"), ("neuron", "bert"), ("neuron", "t5"), ("head", "opt")]
)
def test_scores_are_mean_absolute_gate_gradients_of_the_own_answer(space: Any, name: str) -> None:
    lm, scenario = tiny_lm(name), use_case()
    found = Snip(space).score(lm, scenario)
    assert isinstance(found, Attribution)
    total = torch.zeros(found.layout.size, dtype=torch.float64)
    for case in scenario.cases:
        best = own_answer(lm, case)
        tokens = len(answer_places(lm, case.prompt, best))
        _, gradient = gate_gradient(
            lm, found.layout, lambda x=case, b=best, n=tokens: -option_logp(lm, x.prompt, b) / n
        )
        total += gradient.abs()
    torch.testing.assert_close(found.scores.double(), total / len(scenario.cases), atol=1e-4, rtol=1e-3)
    assert bool((found.scores >= 0).all())


@pytest.mark.parametrize("held", [1, 1 << 30])
@pytest.mark.parametrize("name", ["llama", "gpt2", "t5", "opt", "bert"])
def test_scores_of_weights_are_mean_absolute_gradients(name: str, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether all matrices are scored in one pass of the model or each in its own."""
    monkeypatch.setattr("evenhand.lm.attribution.weights._HELD", held)
    lm, scenario = tiny_lm(name), use_case().where(lambda case: case.name in ("Jo", "DaShawn"))
    found, expected = Snip("weight").score(lm, scenario), snip(lm, scenario)
    assert isinstance(found, MatrixScores)
    for site, scores in zip(found.layout.sites, found.matrices(), strict=True):
        torch.testing.assert_close(scores, expected[site.path], atol=1e-6, rtol=1e-3)
    assert any(float(scores.max()) > 1e-3 for scores in found.matrices())


def test_only_the_matrices_asked_for_are_scored() -> None:
    lm, scenario = tiny_lm("gpt2"), use_case()
    every = Snip().of_weights(lm, scenario)
    some = every.only(lambda site: "c_fc" in site.path)
    whole = dict(zip((site.path for site in every.layout.sites), every.matrices(), strict=True))
    for site, scores in zip(some.layout.sites, some.matrices(), strict=True):
        torch.testing.assert_close(scores, whole[site.path])


def test_the_own_answer_of_a_number_is_the_greedy_one() -> None:
    lm, scenario = tiny_lm("llama"), use_case("number")
    rows = answer_rows(lm, scenario, most_tokens=5)
    assert len(rows) == len(scenario.cases)
    for row in rows[:3]:
        ids = list(row.ids[: row.prompt])
        for token in row.ids[row.prompt :]:
            with torch.no_grad():
                assert token == int(lm.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
            ids.append(token)
        assert [t.token for t in row.targets] == list(row.ids[row.prompt :])


def test_no_cases_is_an_error() -> None:
    with pytest.raises(UsageError, match="no cases"):
        Snip().score(tiny_lm("llama"), use_case().where(lambda case: False))
