"""Toys of the accuracy at both ends; its parts by hand stand in test_accuracy_gap.py."""

from __future__ import annotations

from evenhand.core.measuring import point
from evenhand.measures.coreference_accuracy import CoreferenceAccuracy
from evenhand.testing.measures import Toy
from likelihoods import readout

FACTS = [{"side": "pro", "pronoun": "female"}, {"side": "anti", "pronoun": "male"}]


def rigged() -> list[Toy]:
    return [(readout("choice", [[lead, 0.0]] * 2, FACTS, (0, 0)), None) for lead in (3.0, -3.0)]


def test_all_and_nothing() -> None:
    assert [point(CoreferenceAccuracy(), toy)["value"] for toy, _ in rigged()] == [1.0, 0.0]
