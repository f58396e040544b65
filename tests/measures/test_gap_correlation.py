"""Toys of the correlation of gaps at both ends; its values stand in test_resolution_correlation.py."""

from __future__ import annotations

import pytest

from evenhand.core.measuring import point
from evenhand.measures.gap_correlation import GapCorrelation
from evenhand.testing.measures import Toy
from likelihoods import readout

WOMEN = ("5", "35", "65", "95")


def _toy(*gaps: float) -> Toy:
    facts = [{"sides": "fm", "occupation": women, "percent_women": women} for women in WOMEN]
    return readout("pair", [[gap, 0.0] for gap in gaps], facts), None


def rigged() -> list[Toy]:
    return [_toy(1, 2, 3, 4), _toy(4, 3, 2, 1)]


def symmetric() -> list[Toy]:
    return [_toy(1, -1, -1, 1)]


def test_the_ends_and_the_middle() -> None:
    assert [point(GapCorrelation(), toy)["value"] for toy, _ in [*rigged(), *symmetric()]] == pytest.approx([1, -1, 0])
