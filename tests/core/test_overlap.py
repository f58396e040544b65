"""What two sets share by chance, against a simulation; rank correlation against scipy's own."""

import math

import pytest
import torch
from scipy.stats import spearmanr

from evenhand.core.component import Attribution, Layout, Selection, Site
from evenhand.core.errors import UsageError
from evenhand.core.overlap import by_chance, compared, rank_correlation

LAYOUT = Layout("neuron", (Site("a", 0, 30), Site("b", 1, 30)))


def _scores(values: torch.Tensor) -> Attribution:
    return Attribution(LAYOUT, values.float())


@pytest.mark.parametrize(("a", "b"), [(10, 10), (3, 40), (45, 50), (1, 1), (60, 60)])
def test_chance_is_what_random_sets_share(a: int, b: int) -> None:
    draw = torch.Generator().manual_seed(a * b)
    found = []
    for _ in range(3000):
        pair = [Selection.of(LAYOUT, torch.randperm(60, generator=draw)[:k]) for k in (a, b)]
        found.append((pair[0].jaccard(pair[1]), len(pair[0] & pair[1])))
    jaccards = torch.tensor([jaccard for jaccard, _ in found], dtype=torch.float64)
    least = sorted(both for _, both in found)[len(found) // 2]
    chance = by_chance(60, a, b, least)
    error = 4 * float(jaccards.std()) / math.sqrt(len(found)) + 1e-12
    assert chance.jaccard == pytest.approx(float(jaccards.mean()), abs=error)
    share = sum(both >= least for _, both in found) / len(found)
    assert chance.p == pytest.approx(share, abs=0.04)


def test_chance_in_a_space_as_large_as_a_model_is_quick_and_small() -> None:
    chance = by_chance(10**9, 10**6, 10**6, 1000)
    assert chance.jaccard == pytest.approx(1000 / (2 * 10**6 - 1000), rel=1e-3)
    assert 0.45 < chance.p < 0.55


def test_an_edit_shares_all_with_itself_and_nothing_with_a_disjoint_one() -> None:
    one, other = Selection.of(LAYOUT, [1, 5, 40]), Selection.of(LAYOUT, [2, 6])
    both, jaccard, chance = compared(one, one)
    assert (both, jaccard) == (3, 1.0)
    assert chance.p == pytest.approx(1 / math.comb(60, 3))
    both, jaccard, chance = compared(one, other)
    assert (both, jaccard) == (0, 0.0)
    assert chance.p == pytest.approx(1.0)
    assert 0 < chance.jaccard < 0.05


def test_what_is_empty_has_no_overlap_and_what_does_not_fit_is_refused() -> None:
    empty = Selection.of(LAYOUT, [])
    both, jaccard, chance = compared(empty, empty)
    assert both == 0
    assert math.isnan(jaccard)
    assert math.isnan(chance.jaccard)
    assert math.isnan(chance.p)
    with pytest.raises(UsageError, match="do not fit into a space of 5"):
        by_chance(5, 6, 1, 0)


def test_rank_correlation_is_spearmans_with_ties_and_without_the_undefined() -> None:
    draw = torch.Generator().manual_seed(0)
    x, y = (torch.randint(0, 9, (60,), generator=draw).float() for _ in range(2))
    mixed = x + 0.5 * y
    assert rank_correlation(_scores(x), _scores(mixed)) == pytest.approx(float(spearmanr(x, mixed).statistic))
    assert rank_correlation(_scores(x), _scores(x.exp())) == pytest.approx(1.0)
    assert rank_correlation(_scores(x), _scores(-x)) == pytest.approx(-1.0)
    holes = mixed.clone()
    holes[::4] = torch.nan
    kept = ~holes.isnan()
    assert rank_correlation(_scores(x), _scores(holes)) == pytest.approx(
        float(spearmanr(x[kept], mixed[kept]).statistic)
    )


def test_rank_correlation_with_a_constant_is_undefined() -> None:
    x = torch.arange(60)
    assert math.isnan(rank_correlation(_scores(x), _scores(torch.ones(60))))
    assert math.isnan(rank_correlation(_scores(x), _scores(torch.full((60,), torch.nan))))
    other = Attribution(Layout("neuron", (Site("a", 0, 60),)), torch.zeros(60))
    with pytest.raises(UsageError, match="cannot be compared"):
        rank_correlation(_scores(x), other)
