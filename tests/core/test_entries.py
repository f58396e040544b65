"""Sets of single weights taken matrix by matrix against all scores in one table."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator, Sequence
from fractions import Fraction

import pytest
import torch

from evenhand.core.component import Attribution, Layout, Selection, Site
from evenhand.core.entries import Among, MatrixScores, difference, highest_share, places, widened
from evenhand.core.errors import UsageError
from evenhand.core.highest import nested
from evenhand.core.select import top

SHAPES = {"a.q": (4, 6), "a.up": (9, 5), "b.q": (7, 3)}
LAYOUT = Layout("weight", tuple(Site(path, i, rows * width) for i, (path, (rows, width)) in enumerate(SHAPES.items())))
AMONG: list[Among] = ["matrix", "row", "global"]


def _table(seed: int, ties: bool = False) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    table = {path: torch.randn(*shape, generator=generator) for path, shape in SHAPES.items()}
    return {path: scores.mul(2).round() if ties else scores for path, scores in table.items()}


def _scores(table: dict[str, torch.Tensor]) -> MatrixScores:
    def stream(sites: Sequence[Site]) -> Iterator[torch.Tensor]:
        return (table[site.path].clone() for site in sites)

    return MatrixScores(LAYOUT, stream)


def _pools(table: dict[str, torch.Tensor], among: Among) -> list[list[tuple[float, int]]]:
    """(score, address) of all entries that are compared with each other."""
    pools: list[list[tuple[float, int]]] = []
    address = 0
    for scores in table.values():
        for row in scores.tolist():
            pools.append([(score, address + i) for i, score in enumerate(row)])
            address += len(row)
    if among == "row":
        return pools
    if among == "global":
        return [[entry for pool in pools for entry in pool]]
    found, start = [], 0
    for rows, _ in SHAPES.values():
        found.append([entry for pool in pools[start : start + rows] for entry in pool])
        start += rows
    return found


def _dense(table: dict[str, torch.Tensor], share: float, among: Among) -> set[int]:
    chosen: set[int] = set()
    for pool in _pools(table, among):
        ranked = sorted(pool, key=lambda entry: (-entry[0], entry[1]))
        chosen |= {address for _, address in ranked[: int(Fraction(str(share)) * len(pool))]}
    return chosen


def _addresses(pieces: Iterator[torch.Tensor]) -> set[int]:
    return set(torch.cat([*pieces]).nonzero().flatten().tolist())


@pytest.mark.parametrize("among", AMONG)
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.15, 0.5, 0.7, 1.0])
def test_the_highest_share_equals_that_of_sorted_lists(among: Among, ties: bool, share: float) -> None:
    for seed in range(4):
        table = _table(seed, ties)
        assert _addresses(highest_share(_scores(table), share, among)) == _dense(table, share, among)


@pytest.mark.parametrize("among", AMONG)
@pytest.mark.parametrize("ties", [False, True])
def test_the_difference_equals_that_of_sorted_lists(among: Among, ties: bool) -> None:
    for seed in range(4):
        pruned, kept = _table(seed, ties), _table(seed + 10, ties)
        found = difference(_scores(pruned), _scores(kept), (0.4, 0.35), among)
        assert set(found.units.tolist()) == _dense(pruned, 0.4, among) - _dense(kept, 0.35, among)


@pytest.mark.parametrize("among", AMONG)
def test_places_order_each_pool_as_its_scores_do(among: Among) -> None:
    for seed in range(4):
        table = _table(seed)
        found = torch.cat([*places(_scores(table), among)])
        assert 0 < float(found.min()) < float(found.max()) <= 1
        for pool in _pools(table, among):
            each = sorted(float(found[address]) * len(pool) for _, address in pool)
            assert max(abs(a - rank) for rank, a in enumerate(each, 1)) < (1 if among == "global" else 1e-4)
            by_place = sorted((float(found[address]), address) for _, address in pool)
            by_score = sorted((-score, address) for score, address in pool)
            assert [address for _, address in by_place] == [address for _, address in by_score]


@pytest.mark.parametrize("seed", range(6))
def test_the_highest_of_all_are_nested_and_equal_a_stable_sort(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    flat = torch.randn(LAYOUT.size, generator=generator) * 10.0 ** torch.randint(-30, 30, (1,), generator=generator)
    flat[torch.randperm(LAYOUT.size, generator=generator)[:20]] = torch.tensor([0.0, -0.0, math.inf, -math.inf]).repeat(
        5
    )
    flat[3], flat[40] = math.nan, -math.nan
    order = torch.argsort(flat.nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-1e38), descending=True, stable=True)
    counts = [0, 1, 5, 33, 60]
    for count, found in zip(counts, nested(Attribution(LAYOUT, flat), counts), strict=True):
        assert found == Selection.of(LAYOUT, order[:count])
        assert top(Attribution(LAYOUT, flat), count=count) == found
    with pytest.raises(UsageError, match=f"only {LAYOUT.size - 2} of {LAYOUT.size} have a score"):
        nested(Attribution(LAYOUT, flat), [LAYOUT.size])


def test_hardly_more_than_one_matrix_is_alive_and_passes_are_few() -> None:
    """A loop still holds the last matrix when the next is made; more than these two must never be there."""
    table, alive, passes = _table(0), [], 0

    def stream(sites: Sequence[Site]) -> Iterator[torch.Tensor]:
        nonlocal passes
        passes += 1
        for site in sites:
            assert sum(ref() is not None for ref in alive) <= 1
            scores = table[site.path].clone()
            alive.append(weakref.ref(scores))
            yield scores
            del scores

    counted = MatrixScores(LAYOUT, stream)
    halves: list[tuple[Among, int, int]] = [("matrix", 1, 12 + 22 + 10), ("row", 1, 12 + 18 + 7), ("global", 3, 45)]
    for among, needed, half in halves:
        passes = 0
        assert sum(int(mask.sum()) for mask in highest_share(counted, 0.5, among)) == half
        assert passes == needed, "to find the threshold among all matrices takes two passes, to apply it one"
    assert len(top(counted, count=20)) == 20


def test_only_some_matrices_are_made_and_selections_of_them_fit_the_whole() -> None:
    table = _table(1)
    some = _scores({path: table[path] for path in ("a.q", "b.q")}).only(lambda site: site.path.endswith(".q"))
    found = top(some, count=10)
    whole = widened(found, LAYOUT)
    assert whole.layout == LAYOUT
    flat = torch.cat([scores.flatten() for scores in table.values()])
    flat[24 : 24 + 45] = -math.inf
    assert whole == Selection.of(LAYOUT, flat.topk(10).indices)
