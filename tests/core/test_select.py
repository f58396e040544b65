"""Set algebra of selections, with theorems over random scores."""

from __future__ import annotations

import math

import pytest
import torch

from evenhand.core.component import Attribution, Layout, Selection, Site
from evenhand.core.errors import UsageError
from evenhand.core.highest import count_of
from evenhand.core.select import describe, in_layers, matched_random, random, top, vote

LAYOUT = Layout("neuron", (Site("a", 0, 6), Site("b", 1, 10), Site("c", 0, 4, 2, "encoder")))


def _scores(seed: int) -> Attribution:
    return Attribution(LAYOUT, torch.randn(LAYOUT.size, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("seed", range(5))
def test_top_takes_the_highest_is_nested_and_share_floors(seed: int) -> None:
    scores = _scores(seed)
    for k in range(LAYOUT.size + 1):
        chosen = top(scores, count=k)
        assert len(chosen) == k
        if 0 < k < LAYOUT.size:
            assert scores.scores[chosen.mask].min() >= scores.scores[~chosen.mask].max()
            assert len(top(scores, count=k - 1) - chosen) == 0
    assert top(scores, share=0.49) == top(scores, count=9)
    assert top(scores, share=0.15) == top(scores, count=3)
    assert top(Attribution(LAYOUT, scores.scores.exp()), count=7) == top(scores, count=7), "only the order counts"


def test_ties_break_by_address_and_undefined_scores_are_never_chosen() -> None:
    tied = torch.zeros(LAYOUT.size)
    assert top(Attribution(LAYOUT, tied), count=3).units.tolist() == [0, 1, 2]
    tied[0] = math.nan
    assert top(Attribution(LAYOUT, tied), count=19).units.tolist() == list(range(1, 20))
    with pytest.raises(UsageError, match="only 19 of 20"):
        top(Attribution(LAYOUT, tied), count=20)


@pytest.mark.parametrize("size", [1, 20, 50, 100, 999, 11264, 4096 * 11008, 7 * 10**9])
def test_a_share_is_of_the_number_that_was_written_and_not_of_its_rounding(size: int) -> None:
    for thousandth in range(1001):
        assert count_of(thousandth / 1000, size) == size * thousandth // 1000
    for count in (0, 1, size // 3, size - 1, size):
        assert count_of(count / size, size) == count


@pytest.mark.parametrize(("count", "share"), [(None, None), (3, 0.1), (None, 1.5), (21, None), (-1, None)])
def test_impossible_sizes_are_refused(count: int | None, share: float | None) -> None:
    with pytest.raises(UsageError):
        top(_scores(0), count=count, share=share)


@pytest.mark.parametrize("seed", range(5))
def test_algebra(seed: int) -> None:
    a, b, c = (top(_scores(3 * seed + i), count=8) for i in range(3))
    assert a - b == a & (a - b)
    assert len(a | b) == len(a) + len(b) - len(a & b)
    assert (a - b) | (a & b) == a
    assert vote([a, b, c]) == a & b & c
    assert vote([a, b, c], 1) == a | b | c
    assert vote([a, b, c], 2) == (a & b) | (a & c) | (b & c)
    assert vote([a]) == a
    with pytest.raises(UsageError):
        vote([a, b], 3)
    with pytest.raises(UsageError):
        vote([])


def test_layers_count_through_all_stacks() -> None:
    everything = Selection.where(LAYOUT, torch.ones(LAYOUT.size, dtype=torch.bool))
    assert in_layers(everything, [1]).units.tolist() == list(range(6, 16))
    assert in_layers(everything, [2]).per_layer() == {"decoder.0": 0, "decoder.1": 0, "encoder.0": 4}
    assert len(in_layers(everything, [])) == 0


@pytest.mark.parametrize("seed", range(5))
def test_matched_random_has_the_shape_and_avoids_the_original(seed: int) -> None:
    chosen = top(_scores(seed), count=7)
    generator = torch.Generator().manual_seed(seed)
    control = matched_random(chosen, generator)
    assert control.per_layer() == chosen.per_layer()
    fits = all(2 * int(mask.sum()) <= site.units for site, mask in LAYOUT.split(chosen.mask))
    assert len(control & chosen) == 0 or not fits
    assert matched_random(chosen, torch.Generator().manual_seed(seed)) == control


def test_random_is_uniform_nested_and_seeded() -> None:
    counts = torch.stack([random(LAYOUT, [5], seed)[0].mask for seed in range(4000)]).float().mean(0)
    assert torch.allclose(counts, torch.full((20,), 0.25), atol=0.035)
    some, more, none, all_ = random(LAYOUT, [5, 9, 0, 20], 1)
    assert [len(each) for each in (some, more, none, all_)] == [5, 9, 0, 20]
    assert len(some - more) == 0
    assert random(LAYOUT, [5], 2)[0] != random(LAYOUT, [5], 1)[0]
    assert random(LAYOUT, [9], 1) == [more] == random(LAYOUT, [9], 1)
    with pytest.raises(UsageError, match="21 units of a space of 20"):
        random(LAYOUT, [1, 21], 1)


def test_few_of_a_huge_space_are_drawn_at_once() -> None:
    huge = Layout("weight", tuple(Site(f"layers.{i}.mlp", i, 2**36) for i in range(64)))
    (drawn,) = random(huge, [1000], 0)
    assert len(drawn) == 1000
    assert len({site.layer for site, _ in drawn.by_site()}) == 64


def test_description_names_size_share_and_layers() -> None:
    assert describe(Selection.of(LAYOUT, [0, 7])) == "2 of 20 neuron units (10.000%); decoder.0: 1, decoder.1: 1"
    assert describe(Selection.of(LAYOUT, [])).endswith("none")


def test_few_of_many_weights_are_not_told_as_none():
    sites = tuple(Site(f"model.layers.{i}.mlp.down_proj", layer=i, units=3_000_000) for i in range(2))
    chosen = Selection.of(Layout("weight", sites), [3_000_001])
    assert describe(chosen) == "1 of 6,000,000 weights (0.000017%); decoder.1: 0.000033%; mlp.down_proj: 0.000017%"
    assert describe(Selection.of(Layout("weight", sites), [])) == "0 of 6,000,000 weights (0.000%); none; none"
