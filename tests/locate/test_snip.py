"""SNIP per unit against gates one case at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from evenhand.core.errors import UsageError
from evenhand.lm.answers import answer_rows
from evenhand.locate.snip import Snip
from evenhand.testing.tiny import tiny_lm
from oracles.gates import gate_gradient, option_logp
from oracles.people import use_case


@pytest.mark.parametrize(
    ("space", "name"), [("neuron", "llama"), ("neuron", "bert"), ("neuron", "t5"), ("head", "opt")]
)
def test_scores_are_mean_absolute_gate_gradients_of_the_own_answer(space: Any, name: str) -> None:
    lm, scenario = tiny_lm(name), use_case()
    found = Snip(space).score(lm, scenario)
    total = torch.zeros(found.layout.size, dtype=torch.float64)
    for case in scenario.cases:
        with torch.no_grad():
            best = max(case.options, key=lambda option: float(option_logp(lm, case.prompt, option)))
        tokens = sum(len(row.targets) for row in answer_rows(lm, scenario.where(lambda c, x=case: c == x)))
        _, gradient = gate_gradient(
            lm, found.layout, lambda x=case, b=best, n=tokens: -option_logp(lm, x.prompt, b) / n
        )
        total += gradient.abs()
    torch.testing.assert_close(found.scores.double(), total / len(scenario.cases), atol=1e-4, rtol=1e-3)
    assert bool((found.scores >= 0).all())


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
