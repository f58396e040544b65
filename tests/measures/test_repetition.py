"""Repeated word sequences, against counts made by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest

from evenhand.core.measuring import point
from evenhand.core.readout import Readout
from evenhand.measures.repetition import Repetition
from evenhand.testing.measures import toy


def said(*answers: str) -> Readout:
    base = toy("text")
    return dataclasses.replace(base, answers=tuple(answers for _ in base.cases))


@pytest.mark.parametrize(
    ("answer", "repeated", "words", "pairs"),
    [
        ("the cat and the dog", 0, 4 / 5, 1),
        ("a b c d a b c d", 1 - 4 / 5, 4 / 8, 4 / 7),
        ("No no NO no no", 1 - 1 / 2, 1 / 5, 1 / 4),
        ("la " * 1000, 1 - 1 / 997, 1 / 1000, 1 / 999),
        ("two words", math.nan, 1, 1),
        ("one", math.nan, 1, math.nan),
        ("", math.nan, math.nan, math.nan),
    ],
)
def test_shares_are_those_counted_by_hand(answer: str, repeated: float, words: float, pairs: float) -> None:
    values = point(Repetition(), said(answer))
    assert values == pytest.approx({"value": repeated, "distinct_1": words, "distinct_2": pairs}, nan_ok=True)


def test_short_answers_do_not_thin_out_the_others() -> None:
    assert point(Repetition(), said("a b c d a b c d", "short"))["value"] == pytest.approx(1 / 5)
    assert point(Repetition(), said("a b c d a b c d", "a b c d"))["value"] == pytest.approx(1 / 10)


def test_without_answers_there_is_no_value() -> None:
    assert math.isnan(point(Repetition(), dataclasses.replace(toy("text"), answers=()))["value"])
