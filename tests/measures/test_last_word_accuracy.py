"""Greedy or not, of the favourable option only."""

from __future__ import annotations

import dataclasses
import math

import torch

from evenhand.core.measuring import point
from evenhand.core.readout import Readout
from evenhand.measures.last_word_accuracy import LastWordAccuracy
from evenhand.testing.measures import Toy, toy


def with_greedy(right: float, others: float) -> Readout:
    base = toy("choice")
    place = torch.tensor([[case.favourable] for case in base.cases])
    greedy = torch.full((len(base), 3), others, dtype=torch.float64).scatter(1, place, right)
    return dataclasses.replace(base, arrays={**base.arrays, "greedy": greedy})


def rigged() -> list[Toy]:
    return [(with_greedy(1, 0), None), (with_greedy(0, 1), None)]


def test_a_model_that_writes_nothing_has_no_value() -> None:
    base = toy("choice")
    arrays = {name: array for name, array in base.arrays.items() if name != "greedy"}
    assert math.isnan(point(LastWordAccuracy(), dataclasses.replace(base, arrays=arrays))["value"])


def test_a_case_without_a_right_answer_and_one_that_did_not_fit_are_left_out() -> None:
    base = with_greedy(1, 0)
    cases = (dataclasses.replace(base.cases[0], favourable=None), *base.cases[1:])
    base.arrays["greedy"][1] = math.nan
    base.arrays["greedy"][2] = 0
    assert point(LastWordAccuracy(), dataclasses.replace(base, cases=cases))["value"] == 9 / 10
