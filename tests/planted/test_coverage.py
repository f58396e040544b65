"""The audit's intervals hold the gaps that were planted: context × part of the names, over several splits."""

from __future__ import annotations

import pytest

from evenhand import planted
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.measure import Subject
from evenhand.core.measuring import measure
from evenhand.core.readout import Readout
from evenhand.core.record import Row
from evenhand.core.scenario import PARTS, Scenario
from evenhand.lm.load import load
from evenhand.lm.read import read
from evenhand.measures.standardised_mean_difference import StandardisedMeanDifference
from evenhand.scenarios._load import load_scenario

GAP = {"gap": StandardisedMeanDifference()}


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario("planted")


@pytest.fixture(scope="module")
def readouts(scenario: Scenario) -> list[Readout]:
    return read(load(planted.model_path()), scenario)


def _gaps(readouts: list[Readout], replicates: int) -> dict[str, Row]:
    rows = [row for r in readouts for row in measure(GAP, Subject("base", r), Bootstrap(replicates))]
    return {row.context: row for row in rows if not row.variation and row.key == "value"}


def test_nine_of_ten_intervals_hold_the_gap_of_all_names(scenario: Scenario, readouts: list[Readout]) -> None:
    truth = {context: row.estimate.value for context, row in _gaps(readouts, 20).items()}
    assert truth.keys() == {context.name for context in scenario.contexts}
    held: list[bool] = []
    for seed in range(5):
        for part in PARTS:
            names = {(case.group, case.cluster) for case in scenario.part(part, seed).cases}
            here = [r.where(lambda case, n=names: (case.group, case.cluster) in n) for r in readouts]
            for context, row in _gaps(here, 400).items():
                held.append(row.estimate.low <= truth[context] <= row.estimate.high)
    assert len(held) == 5 * 3 * len(truth)
    assert sum(held) / len(held) >= 0.9


def test_the_audit_finds_the_planted_gaps_and_no_other(readouts: list[Readout]) -> None:
    spec = planted.truth().spec
    for context, row in _gaps(readouts, 400).items():
        if spec[context] == 0:
            assert abs(row.estimate.value) < 0.1, context
        else:
            assert row.estimate.excludes(0.0), context
            assert row.estimate.value * spec[context] > 0, context
