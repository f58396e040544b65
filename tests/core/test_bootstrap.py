"""The cluster bootstrap: weights, intervals, p-values, and the false discovery rate."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from evenhand.core.bootstrap import Bootstrap, benjamini_hochberg, interval, p_value, smallest_stratum
from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.core.estimate import Estimate


def _cases(sizes: dict[str, int], repeats: int = 2) -> list[Case]:
    return [
        Case(f"{g}{i}{r}", "", "c", str(r), g, f"{g}{i}")
        for r in range(repeats)
        for g, n in sizes.items()
        for i in range(n)
    ]


def test_weights_are_shared_by_a_cluster_and_keep_group_sizes() -> None:
    cases = _cases({"a": 5, "b": 3})
    random.Random(0).shuffle(cases)
    weights = torch.cat(list(Bootstrap(replicates=200).weights(cases)))
    assert weights.shape == (200, 16)
    assert weights.dtype == torch.float64
    assert torch.equal(weights, weights.round())
    by_cluster: dict[str, torch.Tensor] = {}
    for i, case in enumerate(cases):
        assert torch.equal(weights[:, i], by_cluster.setdefault(case.cluster, weights[:, i]))
    for group, n in {"a": 5, "b": 3}.items():
        total = sum(w for name, w in by_cluster.items() if name.startswith(group))
        assert torch.equal(total, torch.full((200,), float(n), dtype=torch.float64))


def test_same_seed_same_weights_and_other_seed_other_weights() -> None:
    cases = _cases({"a": 6, "b": 6})
    first = torch.cat(list(Bootstrap(replicates=50, seed=3).weights(cases)))
    assert torch.equal(first, torch.cat(list(Bootstrap(replicates=50, seed=3).weights(cases))))
    assert not torch.equal(first, torch.cat(list(Bootstrap(replicates=50, seed=4).weights(cases))))


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_weights_do_not_depend_on_the_chunk(chunk: int) -> None:
    cases = _cases({"a": 7, "b": 4, "c": 2})
    whole = torch.cat(list(Bootstrap(replicates=100, chunk=100).weights(cases)))
    assert torch.equal(whole, torch.cat(list(Bootstrap(replicates=100, chunk=chunk).weights(cases))))


def test_a_part_has_the_weights_of_the_whole() -> None:
    cases = _cases({"a": 5, "b": 5})
    part = [case for case in cases if case.variation == "1"]
    whole = torch.cat(list(Bootstrap(replicates=30).weights(cases)))
    alone = torch.cat(list(Bootstrap(replicates=30).weights(part, among=cases)))
    assert torch.equal(whole[:, [case.variation == "1" for case in cases]], alone)


def test_memory_is_bounded_by_fewer_replicates_at_once() -> None:
    cases = _cases({"a": 20, "b": 20}, repeats=4000)
    chunks = Bootstrap(replicates=40, chunk=1000).weights(cases)
    assert next(chunks).numel() <= 1 << 22
    assert sum(len(chunk) for chunk in chunks) < 40


def test_every_cluster_is_drawn_equally_often() -> None:
    weights = torch.cat(list(Bootstrap(replicates=20_000).weights(_cases({"a": 5, "b": 3}, repeats=1))))
    assert float((weights.mean(0) - 1).abs().max()) < 5 * (1 / 20_000) ** 0.5
    counts = Counter(weights[:, 0].tolist())
    for k in range(4):
        expected = scipy_stats.binom.pmf(k, 5, 1 / 5)
        assert counts[float(k)] / 20_000 == pytest.approx(expected, abs=0.015)


def test_no_cases_and_bad_settings() -> None:
    assert [chunk.shape for chunk in Bootstrap(replicates=3).weights([])] == [(3, 0)]
    assert smallest_stratum([]) == 0
    assert smallest_stratum(_cases({"a": 7, "b": 4})) == 4
    for bad in ({"replicates": 0}, {"level": 1.0}, {"chunk": 0}):
        with pytest.raises(UsageError, match="bootstrap"):
            Bootstrap(**bad)  # type: ignore[arg-type]


def test_interval_is_wider_than_the_plain_percentiles_and_tends_to_them() -> None:
    replicates = torch.linspace(-1, 1, 4001, dtype=torch.float64)
    widths = [interval(replicates, n, 0.95)[1] for n in (5, 8, 16, 64, 100_000)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == pytest.approx(0.95, abs=1e-3)
    # By hand for n = 16: Φ(√(16/15) · t(0.025; 15)) = Φ(−2.2014) = 0.01386.
    assert widths[2] == pytest.approx(1 - 2 * 0.01386, abs=1e-4)


def test_interval_is_undefined_without_enough_to_go_on() -> None:
    replicates = torch.linspace(-1, 1, 100)
    assert all(math.isnan(end) for end in interval(replicates, 4, 0.95))
    assert math.isnan(p_value(replicates, 0.0, 4))
    holes = replicates.clone()
    holes[:6] = math.nan
    assert all(math.isnan(end) for end in interval(holes, 8, 0.95))
    assert math.isnan(p_value(holes, 0.0, 8))
    holes[:2] = -1.0
    assert not math.isnan(interval(holes, 8, 0.95)[0])
    assert math.isnan(interval(torch.full((10,), math.nan), 8, 0.95)[0])
    assert math.isnan(p_value(replicates, math.nan, 8))


@given(st.floats(-3, 3), st.integers(2, 40), st.sampled_from([0.8, 0.9, 0.95]))
def test_p_and_interval_agree(shift: float, clusters: int, level: float) -> None:
    draw = torch.Generator().manual_seed(0)
    replicates = torch.randn(2000, generator=draw, dtype=torch.float64) + shift
    low, high = interval(replicates, clusters, level)
    p = p_value(replicates, 0.0, clusters)
    if low > 0.02 or high < -0.02:
        assert p < 1 - level + 0.01
    elif low < -0.02 and high > 0.02:
        assert p > 1 - level - 0.01


def test_p_of_nothing_but_the_neutral_value_is_one() -> None:
    assert p_value(torch.zeros(100), 0.0, 8) == 1.0
    assert p_value(torch.ones(999), 0.0, 1000) == pytest.approx(2 / 1000, rel=0.1)


def test_benjamini_hochberg_by_hand_and_as_scipy() -> None:
    # By hand: sorted p 0.01, 0.02, 0.03, 0.5 with m = 4 give 0.04, 0.04, 0.04, 0.5.
    ps = [0.03, math.nan, 0.01, 0.5, 0.02]
    q = [e.q for e in benjamini_hochberg([Estimate(value=1.0, p=p) for p in ps])]
    assert math.isnan(q[1])
    assert [q[0], *q[2:]] == pytest.approx([0.04, 0.04, 0.5, 0.04])
    draw = random.Random(0)
    many = [draw.random() for _ in range(50)]
    assert [e.q for e in benjamini_hochberg([Estimate(value=0.0, p=p) for p in many])] == pytest.approx(
        list(scipy_stats.false_discovery_control(many))
    )
    assert benjamini_hochberg([]) == []
    assert math.isnan(benjamini_hochberg([Estimate(value=0.0)])[0].q)


def test_a_difference_far_from_neutral_survives_a_long_table():
    replicates = 0.9 + 0.01 * torch.randn(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    few, near = p_value(replicates, 0.0, 8), p_value(replicates, 0.895, 8)
    assert few < 1e-6
    assert 0.3 < near < 1
    table = benjamini_hochberg([Estimate(value=0.9, p=few), *(Estimate(value=0.0, p=0.5) for _ in range(200))])
    assert table[0].q < 0.05
