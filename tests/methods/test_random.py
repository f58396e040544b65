"""Random edits: sizes, seeds, nesting."""

from __future__ import annotations

import torch

from evenhand.methods.random import Random
from evenhand.testing.tiny import tiny_lm
from oracles.largest_tensor import LargestTensor
from oracles.people import prose, use_case


def test_sizes_seeds_and_nesting() -> None:
    lm = tiny_lm("llama")
    one, other = (Random(seed=seed).path(lm, use_case(), prose(), [0, 4, 16]) for seed in (1, 2))
    assert [len(edit.selection) for edit in one] == [0, 4, 16]
    assert len(one[1].selection - one[2].selection) == 0
    assert one[2].selection != other[2].selection
    assert Random(seed=1, units=16).fit(lm, use_case(), prose()).selection == one[2].selection
    assert Random("head", units=3, factor=0.5).fit(lm, use_case(), prose()).factor == 0.5


def test_weights_are_drawn_evenly_without_a_score_for_each() -> None:
    lm = tiny_lm("llama")
    layout = lm.layout("weight")
    with LargestTensor() as made:
        few, many = Random("weight", seed=1).path(lm, use_case(), prose(), [7, 3000])
    assert made.elements < layout.size / 3
    assert (len(few.selection), len(many.selection)) == (7, 3000)
    assert len(few.selection - many.selection) == 0
    assert Random("weight", seed=1, units=7).fit(lm, use_case(), prose()).selection == few.selection
    assert Random("weight", seed=2, units=7).fit(lm, use_case(), prose()).selection != few.selection
    counts = torch.tensor([float(len(units)) for units in many.selection.pieces()])
    expected = torch.tensor([float(site.units) for site in layout.sites]) / layout.size * 3000
    assert bool(((counts - expected).abs() < 5 * expected.sqrt()).all())
