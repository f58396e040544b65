"""Toys at both ends of the mass on gendered words; its values by hand stand in test_gender_gap.py."""

from __future__ import annotations

import math

from evenhand.core.measuring import point
from evenhand.measures.gendered_mass import GenderedMass
from evenhand.testing.measures import Toy
from likelihoods import readout


def rigged() -> list[Toy]:
    facts = [{"sides": "fm-", "leaning": "neither"}] * 2
    everything = readout("pair", [[math.log(0.25), math.log(0.75), -9.0]] * 2, facts)
    nothing = readout("pair", [[-800.0, -750.0, 0.0]] * 2, facts)
    return [(everything, None), (nothing, None)]


def test_other_words_do_not_count() -> None:
    assert [point(GenderedMass(), toy)["value"] for toy, _ in rigged()] == [1.0, 0.0]
