"""What an edit does in other use cases follows which of them share the planted units."""

from __future__ import annotations

import pytest

from evenhand import find
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.measure import Subject
from evenhand.core.measuring import measure
from evenhand.core.readout import Readout
from evenhand.lm.batches.variants import Variant
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.lm.read import read_variants
from evenhand.planted import model_path, truth
from evenhand.scenarios._load import load_scenario

GAP = {"gap": find.build("measures", "standardised_mean_difference")}


@pytest.fixture(scope="module")
def lm() -> LM:
    return load(model_path())


def sizes(readouts: list[Readout]) -> dict[str, float]:
    """The size of the gap in each context, mean over its variations."""
    rows = [row for readout in readouts for row in measure(GAP, Subject("model", readout), Bootstrap(20))]
    return {row.context: row.estimate.value for row in rows if row.key == "value.abs" and not row.variation}


@pytest.mark.parametrize("fitted_on", ["salary", "loan"])
def test_the_gap_falls_most_where_the_planted_units_are_shared(lm: LM, fitted_on: str) -> None:
    carriers = truth().carriers(fitted_on)
    assert carriers is not None
    scenario, texts = load_scenario("planted"), load_scenario("planted_text")
    sharing = {c.name for c in scenario.contexts if truth().carriers(c.name) == carriers}
    assert sharing == ({"salary", "bicycle"} if fitted_on == "salary" else {"loan"})
    method = find.build("methods", "contrast", {"names": 6, "candidates": 32})
    edit = method.path(lm, scenario.only([fitted_on]).part("fit"), texts.part("fit"), [len(carriers)])[0]
    report = scenario.part("report")
    before, after = (sizes(each) for each in read_variants(lm, report, [None, Variant(edit.selection, edit.factor)]))
    fell = {name: before[name] - after[name] for name in before}
    others = set(fell) - sharing
    assert min(fell[name] for name in sharing) > 0.7
    assert min(fell[name] for name in sharing) > max(fell[name] for name in others)
    assert abs(fell["rent"]) < 0.1, "where nothing was planted there is nothing to take away"
    assert abs(fell["hire"]) < 0.1, "its units are its own"
