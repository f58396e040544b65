"""Histograms share their edges over versions of the model and hold all of a group's mass."""

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.readout import Readout
from evenhand.study.histogram import distributions


def _readout(values, kind="number", mass=None):
    cases = tuple(Case(id=f"{g}{i}", prompt="", context="c", variation="v", group=g, cluster=f"{g}{i}")
                  for g in ("a", "b") for i in range(len(values) // 2))  # fmt: skip
    value = torch.tensor(values, dtype=torch.float32)
    return Readout(kind=kind, cases=cases, groups=("a", "b"), value=value, row=torch.arange(len(values)),
                   mass=torch.ones(len(values)) if mass is None else torch.tensor(mass),
                   shares={"valid": torch.ones(len(values))}, defined=torch.ones(len(values)).bool())  # fmt: skip


def test_few_values_get_a_bin_each():
    found = list(distributions({"base": [_readout([1.0, 1, 5, 1, 5, 9])], "edit": [_readout([1.0, 1, 1, 5, 5, 99])]}))
    assert [(d.subject, d.group) for d in found] == [("base", "a"), ("base", "b"), ("edit", "a"), ("edit", "b")]
    assert len({d.edges for d in found}) == 1
    assert found[0].edges == (-1, 3, 7, 11)
    assert found[0].mass == pytest.approx((2 / 3, 1 / 3, 0), abs=1e-6)
    assert found[3].mass == pytest.approx((0, 2 / 3, 1 / 3), abs=1e-6)


def test_many_values_are_cut_at_the_range_of_the_unedited_model():
    spread = [float(i) for i in range(400)]
    found = list(distributions({"base": [_readout(spread)], "edit": [_readout([value + 1e6 for value in spread])]}))
    assert found[0].edges[0] < 10
    assert found[0].edges[-1] > 390
    assert found[2].mass[-1] == 1.0
    assert all(sum(d.mass) == pytest.approx(1, abs=1e-5) for d in found)


def test_decisions_have_a_bin_each_and_an_empty_group_has_none():
    readout = _readout([0.0, 1.0, 0.0, 1.0], "choice")
    found = list(distributions({"base": [readout]}))
    assert found[0].edges == (-0.5, 0.5, 1.5)
    silent = _readout([1.0, 2, 3, 4], mass=[1.0, 1, 0, 0])
    assert [d.group for d in distributions({"base": [silent]})] == ["a"]
    assert not list(distributions({"base": [readout.where(lambda case: False)]}))


def test_a_decision_always_taken_the_same_way_keeps_both_bins():
    same, turned = _readout([1.0, 1, 1, 1], "choice"), _readout([0.0, 1, 1, 1], "choice")
    found = list(distributions({"base": [same], "edit": [turned]}))
    assert [d.mass for d in found] == [(0, 1), (0, 1), (0.5, 0.5), (0, 1)]
