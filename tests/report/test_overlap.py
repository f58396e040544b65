"""Shared units on the page: a map per model, and pairs that differ in one thing summed up beside chance."""

import math

from evenhand.core.explained import Overlap, Shared
from evenhand.core.record import CellRef
from evenhand.report.overlap import shares


def _ref(method, fitted="loan", seed=0):
    return CellRef(hash="", model="m", method=method, fitted_on=(fitted,), seed=seed)


FOUND = Overlap(
    edits=("a", "b", "c", "d", "e"),
    sizes=(4, 4, 4, 4, 9),
    spaces=("neuron",) * 4 + ("head",),
    pairs=(
        Shared(a=0, b=1, both=2, jaccard=1 / 3, chance=0.01, p=0.001),
        Shared(a=0, b=2, both=4, jaccard=1.0, chance=0.01, p=0.0),
        Shared(a=1, b=2, both=0, jaccard=0.0, chance=0.01, p=1.0),
        Shared(a=0, b=3, both=0, jaccard=math.nan, chance=math.nan, p=math.nan),
    ),
    correlations=((0, 1, 0.5),),
)
NAMES = {i: ("model", name) for i, name in enumerate("abcde")}


def test_the_map_holds_every_pair_twice_and_nothing_on_the_diagonal():
    (found,) = shares(FOUND, NAMES, {}).maps
    assert found.names == ("a", "b", "c", "d"), "e has nothing to share"
    texts = [[square.text if square else "" for square in row] for row in found.rows]
    assert texts == [["", "33", "100", "–"], ["33", "", "0", ""], ["100", "0", "", ""], ["–", "", "", ""]]
    square = found.rows[0][1]
    assert square is not None
    assert square.shade == 33
    assert square.hover == "a and b: 2 units shared of 4 and 4, overlap 33\u00a0%, by chance 1.0\u00a0%"


def test_models_have_maps_of_their_own():
    apart = {i: (f"model {i % 2}", name) for i, name in enumerate("abcde")}
    assert [(each.title, each.names) for each in shares(FOUND, apart, {}).maps] == [("model 0", ("a", "c"))]


def test_the_summary_tells_pairs_that_differ_in_one_thing():
    refs = {0: _ref("contrast"), 1: _ref("set_difference"), 2: _ref("contrast", seed=1), 3: _ref("random"),
            4: _ref("contrast", "sport")}  # fmt: skip
    found = shares(FOUND, NAMES, refs)
    assert [row[:3] for row in found.summary.rows] == [
        ("another method, same use case and seed", "1", "33\u00a0%"),
        ("another seed, same method and use case", "1", "100\u00a0%"),
    ]
    assert found.summary.rows[0][3:] == ("1.0\u00a0%", "1 of 1")
    assert found.ranks.rows == (("a", "b", "0.50"),)
