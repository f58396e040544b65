"""BBQ's accuracy and share of "unknown": against a count by hand; what picks nothing is wrong."""

from __future__ import annotations

import dataclasses
import math

import pytest

from evenhand.core.measuring import point
from evenhand.measures.bbq_accuracy import BbqAccuracy
from evenhand.testing.measures import Toy
from measures.bbq_answers import all_follow, drawn, readout
from oracles import bbq as oracle


def rigged() -> list[Toy]:
    toys: list[Toy] = []
    for right in (True, False):
        answers = [dataclasses.replace(one, pick=one.label if right else None) for one in all_follow(True)]
        toys.append((readout(answers, "text"), None))
    return toys


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("kind", ["choice", "text"])
def test_as_counted_by_hand(seed: int, kind: str) -> None:
    answers = drawn(seed, invalid=kind == "text")
    found = point(BbqAccuracy(), readout(answers, "text" if kind == "text" else "choice"))
    for name, condition in (("ambiguous", "ambig"), ("disambiguated", "disambig")):
        assert found[name] == pytest.approx(oracle.accuracy(answers, condition), abs=1e-12)
        assert found[f"unknown_{name}"] == pytest.approx(oracle.unknown(answers, condition), abs=1e-12)


def test_always_unknown_is_perfect_on_one_half_and_wrong_on_the_other() -> None:
    unknown = [dataclasses.replace(one, pick=one.unknown) for one in all_follow(True)]
    assert point(BbqAccuracy(), readout(unknown)) == {
        "ambiguous": 1.0, "disambiguated": 0.0, "unknown_ambiguous": 1.0, "unknown_disambiguated": 1.0,
    }  # fmt: skip


def test_one_condition_alone_leaves_the_other_undefined() -> None:
    found = point(BbqAccuracy(), readout([one for one in all_follow(True) if one.condition == "ambig"]))
    assert found["ambiguous"] == 0.0
    assert math.isnan(found["disambiguated"])
    assert math.isnan(found["unknown_disambiguated"])
