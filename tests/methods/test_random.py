"""Random edits: sizes, seeds, nesting."""

from __future__ import annotations

from evenhand.methods.random import Random
from evenhand.testing.tiny import tiny_lm
from oracles.people import prose, use_case


def test_sizes_seeds_and_nesting() -> None:
    lm = tiny_lm("llama")
    one, other = (Random(seed=seed).path(lm, use_case(), prose(), [0, 4, 16]) for seed in (1, 2))
    assert [len(edit.selection) for edit in one] == [0, 4, 16]
    assert len(one[1].selection - one[2].selection) == 0
    assert one[2].selection != other[2].selection
    assert Random(seed=1, units=16).fit(lm, use_case(), prose()).selection == one[2].selection
    assert Random("head", units=3, factor=0.5).fit(lm, use_case(), prose()).factor == 0.5
