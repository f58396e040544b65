"""A method finds the planted units of one context, and switching them off closes the gap at no cost to other text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from evenhand import find
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.component import Selection, Space
from evenhand.core.measure import Subject
from evenhand.core.measuring import measure, point
from evenhand.core.readout import Readout
from evenhand.core.scenario import Part, Scenario
from evenhand.edits.scale import Scale
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.lm.read import read
from evenhand.planted import model_path, truth
from evenhand.scenarios._load import load_scenario
from evenhand.testing.conformance import check_beats_random
from evenhand.testing.rigged import Rigged

CONTEXT = "loan"
METHOD = find.build("methods", "contrast", {"names": 6, "candidates": 32})
RANDOM = find.build("methods", "random")


@dataclass(frozen=True)
class Fitted:
    """A method that was fitted already."""

    edit: Scale
    space: Space = "neuron"

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> Scale:
        return self.edit

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[Scale]:
        return [self.edit for _ in sizes]


@pytest.fixture(scope="module")
def lm() -> LM:
    return load(model_path())


@pytest.fixture(scope="module")
def carriers() -> Selection:
    found = truth().carriers(CONTEXT)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def edit(lm: LM, carriers: Selection) -> Scale:
    (found,) = METHOD.path(lm, context("fit"), texts("fit"), [len(carriers)])
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


def test_contrast_recovers_the_planted_units(lm: LM, carriers: Selection, edit: Scale) -> None:
    (blind,) = RANDOM.path(lm, context("fit"), texts("fit"), [len(carriers)])
    assert len(edit.selection & carriers) > len(blind.selection & carriers)
    assert len(edit.selection & carriers) >= len(carriers) / 2


def test_it_closes_the_gap_on_new_names_and_random_units_do_not(lm: LM, carriers: Selection, edit: Scale) -> None:
    report, neutral = context("report"), texts("report")
    assert not {case.name for case in context("fit").cases} & {case.name for case in report.cases}
    before, text_before = gap(read(lm, report)), perplexity(read(lm, neutral))
    with edit.applied(lm):
        after, text_after = gap(read(lm, report)), perplexity(read(lm, neutral))
    assert abs(before) > 0.8
    assert abs(after) <= 0.2 * abs(before)
    assert text_after <= 1.02 * text_before
    shop = report.only(variations=["shop"])
    asked = Rigged(lm, context("fit"), shop, texts("fit"), {"neuron": carriers})
    check_beats_random(Fitted(edit), asked)
