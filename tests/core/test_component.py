"""Addresses and sets of units: the algebra of sets, and addresses that survive a file."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evenhand.core.component import Attribution, Layout, Selection, Site
from evenhand.core.errors import UsageError

LAYOUT = Layout(
    "neuron",
    (
        Site("enc.0.mlp", 0, 3, stack="encoder"),
        Site("dec.0.mlp", 0, 4),
        Site("dec.0.cross", 0, 2, width=5),
        Site("dec.1.mlp", 1, 4),
    ),
)
UNITS = st.sets(st.integers(0, LAYOUT.size - 1))


def _of(units: set[int]) -> Selection:
    return Selection.of(LAYOUT, sorted(units))


@given(UNITS, UNITS)
def test_set_algebra_is_that_of_sets(a: set[int], b: set[int]) -> None:
    for got, expected in (
        (_of(a) & _of(b), a & b),
        (_of(a) | _of(b), a | b),
        (_of(a) - _of(b), a - b),
    ):
        assert set(got.units.tolist()) == expected
        assert len(got) == len(expected)
        assert got.share == len(expected) / 13
    assert (_of(a) == _of(b)) == (a == b)
    if a == b:
        assert hash(_of(a)) == hash(_of(b))
    expected = len(a & b) / len(a | b) if a | b else math.nan
    assert _of(a).jaccard(_of(b)) == pytest.approx(expected, nan_ok=True)


@given(UNITS)
def test_by_site_and_per_layer_count_every_unit_once(units: set[int]) -> None:
    selection, back = _of(units), set[int]()
    starts = {"enc.0.mlp": 0, "dec.0.mlp": 3, "dec.0.cross": 7, "dec.1.mlp": 9}
    for site, inside in selection.by_site():
        assert len(inside) > 0
        back |= {starts[site.path] + int(unit) for unit in inside}
    assert back == units
    counts = selection.per_layer()
    assert list(counts) == ["encoder.0", "decoder.0", "decoder.1"]
    assert sum(counts.values()) == len(units)


def test_columns_of_wide_units_are_blocks() -> None:
    assert LAYOUT.sites[2].columns(torch.tensor([1])).tolist() == [5, 6, 7, 8, 9]
    assert LAYOUT.sites[1].columns(torch.tensor([0, 3])).tolist() == [0, 3]


def test_layers_run_through_all_stacks() -> None:
    assert LAYOUT.layers().tolist() == [0] * 3 + [1] * 6 + [2] * 4


def test_layout_survives_json() -> None:
    assert Layout.from_json(json.loads(json.dumps(LAYOUT.to_json()))) == LAYOUT


def test_what_does_not_fit_is_refused() -> None:
    other = Layout("neuron", (Site("x", 0, 13),))
    with pytest.raises(UsageError, match="different models"):
        _of({1}) & Selection.of(other, [1])
    with pytest.raises(ValueError, match="13"):
        Selection.where(LAYOUT, torch.zeros(12, dtype=torch.bool))
    with pytest.raises(ValueError, match="13"):
        Attribution(LAYOUT, torch.zeros(12))
    assert _of({1}) != Selection.of(other, [1])
