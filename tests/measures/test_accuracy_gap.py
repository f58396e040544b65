"""Accuracy with and against a stereotype, by hand and at both ends."""

from __future__ import annotations

import pytest

from evenhand.core.measuring import point
from evenhand.measures.accuracy_gap import AccuracyGap
from evenhand.measures.coreference_accuracy import CoreferenceAccuracy
from evenhand.testing.measures import Toy
from likelihoods import readout

FACTS = [
    {"side": "pro", "pronoun": "female"}, {"side": "anti", "pronoun": "male"},
    {"side": "pro", "pronoun": "male"}, {"side": "anti", "pronoun": "female"},
]  # fmt: skip
RIGHT = (0, 0, 1, 1)


def _answers(*first: float) -> Toy:
    """Cases in which the first option leads by so many nats."""
    return readout("choice", [[lead, 0.0] for lead in first], FACTS, RIGHT), None


def rigged() -> list[Toy]:
    """Models that see the stereotype alone, or its opposite."""
    return [_answers(3, -3, -3, 3), _answers(-3, 3, 3, -3)]


def symmetric() -> list[Toy]:
    """Models that always understand, never do, cannot tell, or take the first option whoever is meant."""
    return [_answers(3, 3, -3, -3), _answers(-3, -3, 3, 3), _answers(0, 0, 0, 0), _answers(2, 2, 2, 2)]


def test_by_hand() -> None:
    some, _ = _answers(1, -1, -1, -1)
    gap, level = point(AccuracyGap(), some), point(CoreferenceAccuracy(), some)
    p = 1 / (1 + 2.718281828459045**-1)
    assert gap == pytest.approx({"value": 0.5, "probability": p - 0.5})
    expected = {"value": 0.75, "pro": 1.0, "anti": 0.5, "female": 1.0, "male": 0.5, "neutral": float("nan"),
                "male_minus_female": -0.5}  # fmt: skip
    assert level == pytest.approx(expected, nan_ok=True)


def test_ties_are_shared_and_probability_moves_before_answers_do() -> None:
    tied, _ = _answers(0, 0, 0, 0)
    assert point(CoreferenceAccuracy(), tied)["value"] == 0.5
    slight, _ = _answers(0.2, 0.1, -0.2, -0.1)
    assert point(AccuracyGap(), slight)["value"] == 0.0
    assert point(AccuracyGap(), slight)["probability"] > 0.02


def test_cases_of_no_side_count_for_accuracy_alone() -> None:
    more = [*FACTS, {"side": "none", "pronoun": "neutral"}]
    some = readout("choice", [[3, 0], [-3, 0], [-3, 0], [3, 0], [3, 0]], more, (*RIGHT, 0))
    assert point(AccuracyGap(), some)["value"] == 1.0
    assert point(CoreferenceAccuracy(), some)["value"] == pytest.approx(3 / 5)
    assert point(CoreferenceAccuracy(), some)["neutral"] == 1.0
