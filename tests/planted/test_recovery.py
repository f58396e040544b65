"""A method finds the planted units of one context, and switching them off closes the gap at no cost to other text."""

from __future__ import annotations

import pytest

from evenhand import find
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.component import Selection
from evenhand.core.measure import Subject, measure, point
from evenhand.core.readout import Readout
from evenhand.core.scenario import Part, Scenario
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.lm.read import read
from evenhand.planted import model_path, truth
from evenhand.scenarios._load import load_scenario
from evenhand.testing.conformance import check_beats_random

CONTEXT = "loan"
METHOD = find.build("methods", "contrast", {"names": 6, "candidates": 32})
RANDOM = find.build("methods", "random")


@pytest.fixture(scope="module")
def lm() -> LM:
    return load(model_path())


@pytest.fixture(scope="module")
def carriers() -> Selection:
    found = truth().carriers(CONTEXT)
    assert found is not None
    return found


def context(part: Part) -> Scenario:
    return load_scenario("planted").only([CONTEXT]).part(part)


def texts(part: Part) -> Scenario:
    return load_scenario("planted_text").part(part)


def gap(readouts: list[Readout]) -> float:
    each = {"gap": find.build("measures", "standardised_mean_difference")}
    rows = measure(each, Subject("model", readouts[0]), Bootstrap(20))
    return next(row.estimate.value for row in rows if row.key == "value" and not row.variation)


def perplexity(readouts: list[Readout]) -> float:
    return point(find.build("measures", "perplexity"), readouts[0])["value"]


def test_contrast_recovers_the_planted_units(lm: LM, carriers: Selection) -> None:
    fit, report, neutral = context("fit"), context("report"), texts("report")
    assert not {case.name for case in fit.cases} & {case.name for case in report.cases}
    size = len(carriers)
    (edit,) = METHOD.path(lm, fit, texts("fit"), [size])
    (blind,) = RANDOM.path(lm, fit, texts("fit"), [size])
    assert len(edit.selection & carriers) > len(blind.selection & carriers)

    before, text_before = gap(read(lm, report)), perplexity(read(lm, neutral))
    with edit.applied(lm):
        after, text_after = gap(read(lm, report)), perplexity(read(lm, neutral))
    assert abs(before) > 0.8
    assert abs(after) <= 0.2 * abs(before)
    assert text_after <= 1.02 * text_before


def test_contrast_beats_random_units(lm: LM, carriers: Selection) -> None:
    fit, report = (context(part).only(variations=["shop"]) for part in ("fit", "report"))
    check_beats_random(METHOD, lm, fit, texts("fit"), report, len(carriers))


def test_random_units_do_not_beat_random_units(lm: LM, carriers: Selection) -> None:
    """The check must be able to fail: units chosen blindly do not pass it."""
    fit, report = (context(part).only(variations=["shop"]) for part in ("fit", "report"))
    with pytest.raises(AssertionError, match="random units make it"):
        check_beats_random(RANDOM, lm, fit, texts("fit"), report, len(carriers))
