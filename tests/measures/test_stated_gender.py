"""Keeping to a gender that was stated: by hand, and at both ends."""

from __future__ import annotations

import math

import pytest

from evenhand.core.measuring import point
from evenhand.measures.stated_gender import StatedGender
from evenhand.testing.measures import Toy
from likelihoods import readout

FACTS = [{"sides": "fm", "stated": "female"}, {"sides": "fm", "stated": "male"}]


def rigged() -> list[Toy]:
    right = readout("pair", [[-0.1, -5.0], [-5.0, -0.1]], FACTS)
    wrong = readout("pair", [[-5.0, -0.1], [-0.1, -5.0]], FACTS)
    return [(right, None), (wrong, None)]


def test_by_hand() -> None:
    masses = [(0.6, 0.2), (0.3, 0.1)]
    found = point(StatedGender(), readout("pair", [[math.log(f), math.log(m)] for f, m in masses], FACTS))
    assert found["value"] == 0.5
    assert found["gap"] == pytest.approx(0.0, abs=1e-15)
    assert found["neither"] == pytest.approx((0.2 + 0.6) / 2)


def test_a_model_that_always_says_one_gender_is_right_half_the_time() -> None:
    always = readout("pair", [[-1.0, -3.0]] * 2, FACTS)
    assert point(StatedGender(), always) == pytest.approx(
        {"value": 0.5, "gap": 0.0, "neither": 1 - math.exp(-1) - math.exp(-3)}
    )
    assert point(StatedGender(), readout("pair", [[-1.0, -1.0]] * 2, FACTS))["value"] == 0.5


def test_an_edit_that_empties_both_sides_shows() -> None:
    before, after = ([[p, p - 2], [p - 2, p]] for p in (-0.5, -9.0))
    gone = [point(StatedGender(), readout("pair", each, FACTS)) for each in (before, after)]
    assert gone[0]["value"] == gone[1]["value"] == 1.0
    assert gone[0]["gap"] == gone[1]["gap"]
    assert gone[0]["neither"] < 0.4 < 0.99 < gone[1]["neither"]


def test_the_mass_is_undefined_where_it_exceeds_one_and_the_rest_is_not() -> None:
    found = point(StatedGender(), readout("pair", [[-0.1, -0.2], [-0.2, -0.1]], FACTS))
    assert found["value"] == 1.0
    assert math.isnan(found["neither"])
