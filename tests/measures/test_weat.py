"""WEAT against a slow re-implementation and wefe's own, by hand, and at the ends of its range."""

from __future__ import annotations

import dataclasses
import importlib
import math
import sys
import types
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from evenhand.core.bootstrap import Bootstrap
from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.core.measure import Subject
from evenhand.core.measuring import measure, point
from evenhand.core.readout import Readout
from evenhand.measures.weat import SIDES, Weat
from evenhand.testing.measures import Toy, check_measure
from oracles import weat as oracle

Sets = Sequence[Sequence[Sequence[float]]]
"""Vectors of X, Y, A and B."""


def words(sets: Sets) -> Readout:
    """A readout of these vectors."""
    cases = [
        Case(
            f"{side}{i}", f"{side}{i}", "here", group=side, cluster=f"{side}{i}", facts=(("side", side), ("test", "t"))
        )
        for side, few in zip(SIDES, sets, strict=True)
        for i in range(len(few))
    ]
    vectors = torch.tensor([vector for few in sets for vector in few], dtype=torch.float64)
    none, one = torch.empty(0, dtype=torch.float64), torch.ones(len(cases), dtype=torch.float64)
    return Readout("embedding", tuple(cases), (), none, none, none.long(), {"valid": one}, one.bool(),
                   arrays={"vector": vectors, "tokens": one.long()})  # fmt: skip


EAST, NORTH, BETWEEN = (1.0, 0.0), (0.0, 2.0), (3.0, 3.0)


def rigged() -> list[Toy]:
    """All of X with A and all of Y with B, and the other way round."""
    sets = ([EAST] * 4, [NORTH] * 4, [EAST] * 2, [NORTH] * 2)
    return [(words(sets), None), (words((sets[1], sets[0], *sets[2:])), None)]


def symmetric() -> list[Toy]:
    """Each word of X has a twin in Y."""
    few = [EAST, NORTH, BETWEEN, (2.0, 1.0)]
    return [(words((few, few[::-1], [EAST, BETWEEN], [NORTH])), None)]


def random_sets(sizes: Sequence[int], seed: int = 0, shift: float = 0.3) -> list[list[list[float]]]:
    draw = torch.Generator().manual_seed(seed)
    sets = [torch.randn(size, 6, generator=draw, dtype=torch.float64) for size in sizes]
    sets[0][:, 0] += shift
    sets[2][:, 0] += shift
    return [few.tolist() for few in sets]


@pytest.mark.parametrize("sizes", [(2, 2, 1, 1), (4, 4, 3, 5), (3, 5, 2, 2), (6, 6, 8, 7)])
@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("strict", [False, True])
def test_values_are_those_of_the_slow_oracle(sizes: tuple[int, ...], ddof: Any, strict: bool) -> None:
    for seed in range(3):
        x, y, a, b = random_sets(sizes, seed)
        found = point(Weat(ddof=ddof, strict=strict), words((x, y, a, b)))
        assert found["value"] == pytest.approx(oracle.effect_size(x, y, a, b, ddof), abs=1e-12)
        assert found["permutation_p"] == pytest.approx(oracle.exact_p(x, y, a, b, strict), abs=1e-12)
        s = [[oracle.association(word, a, b) for word in few] for few in (x, y)]
        assert found["difference"] == pytest.approx(sum(s[0]) / len(x) - sum(s[1]) / len(y), abs=1e-12)


def test_values_by_hand() -> None:
    # s: 1, 1 for X; −1 and 0 for Y. Means 1 and −1/2; over all four mean 1/4, variance (2 · 9/16 + 25/16 + 1/16) / 4.
    found = point(Weat(), words(([EAST, EAST], [NORTH, BETWEEN], [EAST], [NORTH])))
    assert found["difference"] == pytest.approx(1.5)
    assert found["value"] == pytest.approx(1.5 / (11 / 16) ** 0.5)
    assert found["permutation_p"] == pytest.approx(1 / 6)
    assert point(Weat(strict=True), words(([EAST, EAST], [NORTH, BETWEEN], [EAST], [NORTH])))["permutation_p"] == 0


def test_a_symmetric_toy_is_the_middle_of_the_test_and_a_rigged_one_its_end() -> None:
    middle = symmetric()[0][0]
    assert point(Weat(), middle)["permutation_p"] == 1 - point(Weat(strict=True), middle)["permutation_p"]
    assert [point(Weat(), toy)["permutation_p"] for toy, _ in rigged()] == [1 / 70, 1.0]


@pytest.fixture(scope="module")
def wefe_weat() -> Any:
    """The class of the wefe package, which needs gensim and semantic_version only to read files of word vectors."""
    gensim, models, versions = (types.ModuleType(n) for n in ("gensim", "gensim.models", "semantic_version"))
    vars(models)["KeyedVectors"] = type("KeyedVectors", (), {})
    vars(gensim).update(__version__="4.0.0", models=models)
    vars(versions)["Version"] = types.SimpleNamespace(coerce=lambda text: types.SimpleNamespace(major=int(text[0])))
    with pytest.MonkeyPatch.context() as patch:
        for module in (gensim, models, versions):
            patch.setitem(sys.modules, module.__name__, module)
        yield importlib.import_module("wefe.metrics.WEAT").WEAT()
        for name in [name for name in sys.modules if name.partition(".")[0] == "wefe"]:
            patch.delitem(sys.modules, name)


def test_effect_size_and_statistic_are_wefes(wefe_weat: Any) -> None:
    for seed in range(5):
        sets = random_sets((8, 8, 5, 7), seed)
        arrays = [torch.tensor(few, dtype=torch.float64).numpy() for few in sets]
        found = point(Weat(), words(sets))
        assert found["value"] == pytest.approx(float(wefe_weat._calc_effect_size(*arrays)), abs=1e-12)
        assert 8 * found["difference"] == pytest.approx(float(wefe_weat._calc_weat(*arrays)), abs=1e-12)


def test_random_partitions_come_close_to_all_of_them_and_depend_on_the_seed_alone() -> None:
    readout = words(random_sets((8, 8, 4, 4), seed=1, shift=0.6))
    every = point(Weat(), readout)["permutation_p"]
    drawn = [point(Weat(exact=1, seed=seed), readout)["permutation_p"] for seed in (0, 0, 1)]
    assert 0.001 < every < 0.5
    assert drawn[0] == drawn[1] != drawn[2]
    assert abs(drawn[0] - every) < 4 * math.sqrt(every * (1 - every) / 10_000)
    order = torch.randperm(len(readout), generator=torch.Generator().manual_seed(3))
    shuffled = Readout("embedding", tuple(readout.cases[int(i)] for i in order), (), readout.value, readout.mass,
                       readout.row, readout.shares, readout.defined,
                       arrays={"vector": readout.arrays["vector"][order]})  # fmt: skip
    assert point(Weat(exact=1), shuffled)["permutation_p"] == drawn[0]


def test_the_observed_partition_counts_among_random_ones() -> None:
    assert point(Weat(exact=1, samples=99), rigged()[0][0])["permutation_p"] >= 1 / 100
    far = words(([EAST] * 20, [NORTH] * 20, [EAST], [NORTH]))
    assert point(Weat(samples=99), far)["permutation_p"] == pytest.approx(1 / 100)


@pytest.mark.parametrize(
    "sets",
    [
        ([EAST], [NORTH], [EAST], [NORTH]),
        ([EAST, EAST, NORTH], [NORTH], [EAST], [NORTH]),
        ([EAST, EAST], [EAST, EAST], [EAST], [NORTH]),
        ([EAST, NORTH], [NORTH, NORTH], [EAST], []),
        ([EAST, NORTH], [], [EAST], [NORTH]),
    ],
)
def test_too_little_is_undefined(sets: Sets) -> None:
    assert all(math.isnan(value) for value in point(Weat(), words(sets)).values())


def test_a_word_without_a_vector_is_left_out() -> None:
    x, y, a, b = random_sets((4, 4, 3, 3))
    readout = words((x, y, a, b))
    readout.arrays["vector"][1] = torch.nan
    readout.arrays["vector"][10] = 0.0
    found = point(Weat(), readout)
    assert found == pytest.approx(point(Weat(), words(([x[0], *x[2:]], y, a[:2], b))))


def test_several_tests_make_no_one_number() -> None:
    readout = words(random_sets((4, 4, 3, 3)))
    cases = tuple(
        dataclasses.replace(case, facts=(case.facts[0], ("test", str(i % 2)))) for i, case in enumerate(readout.cases)
    )
    assert all(math.isnan(value) for value in point(Weat(), dataclasses.replace(readout, cases=cases)).values())


def test_a_side_that_is_none_is_refused() -> None:
    case = Case("1", "rose", "here", facts=(("side", "target"), ("test", "t")))
    none, one = torch.empty(0), torch.ones(1).double()
    readout = Readout("embedding", (case,), (), none, none, none.long(), {"valid": one}, one.bool(),
                      arrays={"vector": torch.ones(1, 2)})  # fmt: skip
    with pytest.raises(UsageError, match="its side is one of target_x, target_y, attribute_a, attribute_b"):
        point(Weat(), readout)


def test_intervals_resample_the_words_of_each_set() -> None:
    rows = {
        row.key: row.estimate
        for row in measure({"weat": Weat()}, Subject("base", words(random_sets((8, 8, 5, 5), shift=3.0))), Bootstrap())
    }
    assert set(rows) == {"value", "difference", "permutation_p"}
    d = rows["value"]
    assert -2 <= d.low < d.value < d.high <= 2
    assert d.p < 0.05
    assert math.isnan(rows["permutation_p"].p)
    assert (d.n, d.n_clusters) == (26, 26)


@pytest.mark.parametrize("settings", [{"strict": True}, {"exact": 1, "samples": 50}])
def test_every_setting_obeys_the_laws(settings: dict[str, Any]) -> None:
    check_measure(Weat(**settings), rigged(), symmetric())


def test_replicates_are_the_statistics_written_out() -> None:
    stats: Tensor = Weat().per_case(words(random_sets((5, 5, 3, 3))))
    weights = torch.tensor([2, 0, 1, 1, 1, 0, 3, 1, 1, 0] + [1] * 6)
    short = Weat().combine(stats, weights.double())
    long = Weat().combine(stats.repeat_interleave(weights, dim=0), torch.ones(int(weights.sum())).double())
    assert {k: float(v) for k, v in short.items()} == pytest.approx({k: float(v) for k, v in long.items()})
