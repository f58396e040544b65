"""Agreement with claims and reversed claims: rigged, symmetric, and a model that agrees with everything."""

from __future__ import annotations

import math

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.measuring import point
from evenhand.core.readout import Readout
from evenhand.core.scenario import Context, Scenario
from evenhand.lm.read import Reading, read
from evenhand.measures.explicit_association import ExplicitAssociation
from evenhand.testing.measures import Toy
from evenhand.testing.tiny import tiny_lm

SORTS = ("stereotype", "reverse")


def _choice(agree: list[float]) -> Readout:
    """Claims and reversed claims in turn, agreed with so much."""
    n = len(agree)
    yes = torch.tensor(agree, dtype=torch.float64)
    value = torch.tensor([1.0, 0.0] * n).double()
    one = torch.ones(n, dtype=torch.float64)
    cases = tuple(
        Case(str(i), "", "c", cluster=str(i // 2), options=(" agree", " disagree"), favourable=1,
             facts=(("claim", SORTS[i % 2]),))
        for i in range(n)
    )  # fmt: skip
    return Readout(
        "choice", cases, (), value, torch.stack([1 - yes, yes], dim=1).flatten(), torch.arange(n).repeat_interleave(2),
        {"valid": one}, one.bool(),
    )  # fmt: skip


def _text(agrees: list[float | None]) -> Readout:
    """Claims and reversed claims in turn; None: refused."""
    n = len(agrees)
    value = torch.tensor([1 - each for each in agrees if each is not None], dtype=torch.float64)
    row = torch.tensor([i for i, each in enumerate(agrees) if each is not None])
    valid = torch.tensor([each is not None for each in agrees])
    cases = tuple(Case(str(i), "", "c", cluster=str(i // 2), facts=(("claim", SORTS[i % 2]),)) for i in range(n))
    shares = {"valid": valid.double(), "refusal": (~valid).double()}
    return Readout("text", cases, (), value, torch.ones_like(value), row, shares, valid, ddof=1)


def rigged() -> list[Toy]:
    return [(make(few), None) for make in (_choice, _text) for few in ([1.0, 0.0] * 3, [0.0, 1.0] * 3)]


def symmetric() -> list[Toy]:
    return [(_choice([0.9, 0.9, 0.2, 0.2]), None), (_text([1.0, 1.0, 0.0, 0.0, None, None]), None)]


def test_agreeing_with_everything_is_acquiescence_and_no_bias():
    found = point(ExplicitAssociation(), _choice([1.0] * 8))
    assert found == {"value": 0, "stereotype": 1, "reverse": 1, "acquiescence": 1, "refusal": 0, "invalid": 0}


def test_agreement_is_averaged_over_the_claims_of_each_direction():
    found = point(ExplicitAssociation(), _choice([0.8, 0.1, 0.6, 0.3]))
    assert found["stereotype"] == pytest.approx(0.7)
    assert found["reverse"] == pytest.approx(0.2)
    assert found["value"] == pytest.approx(0.5)
    assert found["acquiescence"] == pytest.approx(0.45)


def test_refusals_are_counted_and_not_agreement():
    found = point(ExplicitAssociation(), _text([1.0, 0.0, None, 1.0]))
    assert (found["stereotype"], found["reverse"], found["refusal"]) == (1.0, 0.5, 0.25)
    none = point(ExplicitAssociation(), _text([None, 1.0, None, 0.0]))
    assert math.isnan(none["value"])
    assert none["refusal"] == 0.5


@pytest.mark.parametrize("name", ["gpt2", "bert", "t5"])
def test_a_model_is_read_as_the_share_of_agree_among_the_two(name: str):
    cases = tuple(
        Case(f"{claim}{i}", f"Claim: {word}.\n", "c", cluster=str(i), answer_prefix="Answer:",
             options=(" agree", " disagree"), favourable=1, facts=(("claim", claim),))
        for i, word in enumerate(("one", "two")) for claim in SORTS
    )  # fmt: skip
    (readout,) = read(tiny_lm(name), Scenario("claims", cases, (Context("c", "choice"),)))
    agree = readout.arrays["logp"].softmax(dim=1)[:, 0]
    found = point(ExplicitAssociation(), readout)
    assert found["stereotype"] == pytest.approx(float(agree[[0, 2]].mean()))
    assert found["reverse"] == pytest.approx(float(agree[[1, 3]].mean()))
    assert found["invalid"] == 0


def test_generated_answers_are_shares_of_all():
    cases = tuple(Case(c, f"{c} claim", "c", cluster=c, facts=(("claim", c),)) for c in SORTS)
    context = Context("c", "text", favourable_words=("disagree",), unfavourable_words=("agree",))
    (readout,) = read(tiny_lm("gpt2"), Scenario("claims", cases, (context,)), Reading(samples=3, max_new_tokens=4))
    found = point(ExplicitAssociation(), readout)
    assert found["invalid"] == 1
    assert math.isnan(found["value"])
