"""Log-odds of agreeing: what is the same for all claims cancels, also where the probability saturates."""

from __future__ import annotations

import math

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.measuring import point
from evenhand.core.readout import Readout
from evenhand.measures.agreement_log_odds import AgreementLogOdds
from evenhand.measures.explicit_association import ExplicitAssociation
from evenhand.testing.measures import Toy

SORTS = ("stereotype", "reverse")


def _readout(odds: list[float]) -> Readout:
    """Claims and reversed claims in turn, with these log-odds of agreeing."""
    n = len(odds)
    logp = torch.tensor([[-1.0, -1.0 - each] for each in odds], dtype=torch.float64)
    agree = logp.softmax(1)[:, 0]
    one = torch.ones(n, dtype=torch.float64)
    cases = tuple(
        Case(str(i), "", "c", cluster=str(i // 2), options=("a", "b"), favourable=1, facts=(("claim", SORTS[i % 2]),))
        for i in range(n)
    )
    return Readout(
        "choice", cases, (), torch.tensor([1.0, 0.0] * n).double(), torch.stack([1 - agree, agree], 1).flatten(),
        torch.arange(n).repeat_interleave(2), {"valid": one}, one.bool(), arrays={"logp": logp},
    )  # fmt: skip


def symmetric() -> list[Toy]:
    return [(_readout([2.0, 2.0, -3.0, -3.0]), None), (_readout([2.0, -3.0, -3.0, 2.0]), None)]


def test_means_and_their_difference():
    found = point(AgreementLogOdds(), _readout([3.0, 1.0, 2.0, -1.0]))
    assert found == pytest.approx({"value": 2.5, "stereotype": 2.5, "reverse": 0.0})


def test_it_tells_claims_apart_where_the_probability_is_next_to_one():
    saturated = _readout([62.0, 60.0, 61.0, 59.0])
    assert point(ExplicitAssociation(), saturated)["value"] == pytest.approx(0, abs=1e-12)
    assert point(AgreementLogOdds(), saturated)["value"] == pytest.approx(2)


def test_an_impossible_answer_is_left_out():
    assert point(AgreementLogOdds(), _readout([math.inf, 1.0, 2.0, 1.0]))["value"] == pytest.approx(1)
