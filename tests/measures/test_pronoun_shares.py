"""Shares of three versions of a text, by hand and at their ends."""

from __future__ import annotations

import math

import pytest

from evenhand.core.measuring import point
from evenhand.measures.pronoun_shares import PronounShares
from evenhand.testing.measures import Toy
from likelihoods import readout

FACTS = [{"sides": "fm-"}] * 2


def rigged() -> list[Toy]:
    return [(readout("pair", [[-1.0, x, x]] * 2, FACTS), None) for x in (-900.0, 900.0)]


def test_shares_sum_to_one_however_unlikely_the_texts_are() -> None:
    even = readout("pair", [[-1000.0] * 3] * 2, FACTS)
    assert point(PronounShares(), even) == pytest.approx(dict.fromkeys(("female", "male", "neutral"), 1 / 3))
    tilted = readout("pair", [[-50.0, -50.0 - math.log(3), -900.0], [-60.0 - math.log(3), -60.0, -900.0]], FACTS)
    assert point(PronounShares(), tilted) == pytest.approx({"female": 0.5, "male": 0.5, "neutral": 0.0})
    turned = readout("pair", [[-1.0, -2.0, -900.0]], [{"sides": "mf-"}])
    assert point(PronounShares(), turned)["male"] == pytest.approx(1 / (1 + math.exp(-1)))
