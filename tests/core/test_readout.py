"""What a model said: cutting it to a part keeps answers with their cases, and impossible readouts are refused."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.readout import Readout


def _readout() -> Readout:
    cases = tuple(Case(f"{g}{i}", "", "c", "", g, f"{g}{i}") for g in ("a", "b") for i in range(2))
    return Readout(
        kind="number",
        cases=cases,
        groups=("a", "b"),
        value=torch.tensor([1.0, 2.0, 10.0, 20.0, 30.0]),
        mass=torch.tensor([0.5, 0.5, 1.0, 0.25, 0.75]),
        row=torch.tensor([0, 0, 1, 3, 3]),
        shares={"valid": torch.tensor([1.0, 1.0, 0.0, 1.0]), "refusal": torch.tensor([0.0, 0.0, 1.0, 0.0])},
        defined=torch.tensor([True, True, False, True]),
        arrays={"tokens": torch.arange(4)},
        answers=(("1", "2"), ("10",), ("no",), ("20", "30")),
    )


def test_where_keeps_answers_with_their_cases() -> None:
    part = _readout().where(lambda case: case.id in ("a1", "b1"))
    assert [case.id for case in part.cases] == ["a1", "b1"]
    assert part.value.tolist() == [10.0, 20.0, 30.0]
    assert part.row.tolist() == [0, 1, 1]
    assert part.shares["refusal"].tolist() == [0.0, 0.0]
    assert part.arrays["tokens"].tolist() == [1, 3]
    assert part.answers == (("10",), ("20", "30"))
    assert len(_readout().where(lambda case: False)) == 0


def test_between_and_sides() -> None:
    turned = _readout().between("b", "a")
    assert turned.groups == ("b", "a")
    assert turned.sides().tolist() == [1, 1, 0, 0]
    assert len(_readout().between("b")) == 2


def test_sums_and_quantiles_weigh_by_mass() -> None:
    readout = _readout()
    assert readout.sums(readout.value).tolist() == [1.5, 10.0, 0.0, 27.5]
    assert readout.quantile(0.5) == 10.0
    assert readout.quantile(0.0) == 1.0
    assert readout.quantile(1.0) == 30.0
    assert readout.quantile(2.25 / 3) == 20.0
    assert math.isnan(readout.where(lambda case: case.id == "b0").quantile(0.5))


def test_answered_drops_the_answers_of_undefined_cases_only() -> None:
    broken = dataclasses.replace(_readout(), defined=torch.tensor([True, False, False, True]))
    assert broken.answered().value.tolist() == [1.0, 2.0, 20.0, 30.0]
    assert broken.answered().cases == broken.cases


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"mass": torch.ones(4)}, "mass"),
        ({"row": torch.tensor([0, 0, 1, 3, 4])}, "row"),
        ({"row": torch.tensor([3, 0, 1, 3, 3])}, "row"),
        ({"value": torch.tensor([1.0, 2.0, math.nan, 2.0, 3.0])}, "finite"),
        ({"mass": torch.tensor([1.0, 1.0, -1.0, 1.0, 1.0])}, "negative"),
        ({"shares": {"refusal": torch.ones(4)}}, "valid"),
        ({"shares": {"valid": torch.full((4,), 0.5)}}, "sum"),
        ({"shares": {"valid": torch.ones(3)}}, "defined|3 rows"),
        ({"arrays": {"tokens": torch.ones(5)}}, "tokens"),
    ],
)
def test_impossible_readouts_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(Exception, match=says):
        dataclasses.replace(_readout(), **wrong)
