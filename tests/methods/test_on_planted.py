"""The methods on the planted model, whose carriers are known: contrast closes the gap, a random edit does not."""

from __future__ import annotations

import pytest

from evenhand import find
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.edit import Edit
from evenhand.core.measure import Subject, measure
from evenhand.core.scenario import Scenario
from evenhand.lm.forward import score_texts
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.lm.read import read
from evenhand.methods.contrast import Contrast
from evenhand.methods.random import Random
from evenhand.planted import model_path
from evenhand.scenarios._load import load_scenario
from oracles.people import use_case


@pytest.fixture(scope="module")
def lm() -> LM:
    return load(model_path())


def _gap(lm: LM, scenario: Scenario, edit: Edit) -> float:
    smd = find.build("measures", "standardised_mean_difference")
    with edit.applied(lm):
        (readout,) = read(lm, scenario)
    rows = measure({"smd": smd}, Subject("edited", readout), Bootstrap(replicates=2))
    return next(row.estimate.value for row in rows if row.variation == "" and row.key == "value")


def _nats(lm: LM, texts: list[str], edit: Edit) -> float:
    with edit.applied(lm):
        (scores,) = score_texts(lm, texts)
    return -float(scores.logp.sum() / scores.tokens.sum())


def test_contrast_closes_a_planted_gap_on_new_names_and_random_does_not(lm: LM) -> None:
    scenario, prose = load_scenario("planted").only(contexts=["salary"]), load_scenario("planted_text")
    bias, utility = scenario.part("fit", 0), prose.part("fit", 0)
    fresh, texts = scenario.part("report", 0), [case.prompt for case in prose.part("report", 0).cases]
    edit = Contrast().fit(lm, bias, utility)
    nothing, control = Random().path(lm, bias, utility, [0, len(edit.selection)])
    before = _gap(lm, fresh, nothing)
    assert 0 < len(edit.selection) <= 16
    assert abs(_gap(lm, fresh, edit)) <= 0.2 * abs(before)
    assert abs(_gap(lm, fresh, control)) >= 0.9 * abs(before)
    assert _nats(lm, texts, edit) - _nats(lm, texts, nothing) <= 0.02


def test_the_same_names_on_both_sides_yield_no_units(lm: LM) -> None:
    same = use_case("choice", people={"a": ["Jo", "Mo"], "b": ["Jo", "Mo"]})
    assert len(Contrast().fit(lm, same, load_scenario("planted_text")).selection) == 0
