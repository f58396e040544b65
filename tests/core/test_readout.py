"""What a model said: cutting it to a part keeps answers with their cases, and impossible readouts are refused."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise
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


PLACES = [(), (0,), (2,), (4,), (1, 1), (1, 3), (0, 1, 2, 3, 4)]


@pytest.mark.parametrize("places", PLACES)
def test_parts_joined_are_the_whole(places: tuple[int, ...]) -> None:
    arrays = {"tokens": torch.arange(4), "logp": torch.arange(8.0).reshape(4, 2)}
    whole = dataclasses.replace(_readout(), ddof=1, arrays=arrays, notes={"mode": "sample", "undecided": 0})
    edges = [0, *places, 4]
    ids = [{case.id for case in whole.cases[a:b]} for a, b in pairwise(edges)]
    joined = Readout.joined([whole.where(lambda case, part=part: case.id in part) for part in ids])
    assert (joined.kind, joined.cases, joined.groups, joined.ddof, joined.answers, joined.notes) == (
        whole.kind, whole.cases, whole.groups, whole.ddof, whole.answers, whole.notes)  # fmt: skip
    assert (list(joined.shares), list(joined.arrays)) == (list(whole.shares), list(whole.arrays))
    tensors = [(joined.value, whole.value), (joined.mass, whole.mass), (joined.row, whole.row),
               (joined.defined, whole.defined)]  # fmt: skip
    tensors += [(joined.shares[name], share) for name, share in whole.shares.items()]
    tensors += [(joined.arrays[name], array) for name, array in whole.arrays.items()]
    for mine, theirs in tensors:
        assert mine.dtype == theirs.dtype
        assert torch.equal(mine, theirs)


def test_parts_with_fewer_options_shares_and_arrays_are_filled() -> None:
    one = _readout().where(lambda case: case.group == "a")
    two = _readout().where(lambda case: case.group == "b")
    one = dataclasses.replace(one, shares={"valid": torch.ones(2)}, notes={"undecided": 1},
                              arrays={"logp": torch.ones(2, 2)})  # fmt: skip
    arrays = {"logp": torch.ones(2, 3), "kl": torch.ones(2), "picked": torch.ones(2, 4)}
    two = dataclasses.replace(two, notes={"undecided": 2}, arrays=arrays)
    joined = Readout.joined([one, two])
    assert joined.shares["refusal"].tolist() == [0.0, 0.0, 1.0, 0.0]
    assert joined.arrays["logp"].isnan().tolist() == [[False, False, True]] * 2 + [[False] * 3] * 2
    assert joined.arrays["kl"].isnan().tolist() == [True, True, False, False]
    assert joined.arrays["picked"].isnan().tolist() == [[True] * 4] * 2 + [[False] * 4] * 2
    assert joined.notes == {"undecided": 3}


@pytest.mark.parametrize("other", [{"kind": "choice"}, {"groups": ("b", "a")}, {"ddof": 1}, {"notes": {"seed": 1}}])
def test_parts_that_were_read_in_different_ways_are_not_joined(other: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="different"):
        Readout.joined([_readout(), dataclasses.replace(_readout(), **other)])
    with pytest.raises(ValueError, match="one readout or more"):
        Readout.joined([])
