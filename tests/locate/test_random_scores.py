"""Random scores depend on the seed alone."""

from __future__ import annotations

import pytest
import torch

from evenhand.core.component import Attribution, Site
from evenhand.core.entries import MatrixScores
from evenhand.core.highest import nested
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.weights import matrix as matrix_of
from evenhand.locate.random import Random, _drawn
from evenhand.testing.tiny import tiny_lm
from oracles.largest_tensor import LargestTensor
from oracles.people import prose, use_case


def _dense(seed: int, scenario: Scenario) -> torch.Tensor:
    found = Random(seed=seed).score(tiny_lm("llama"), scenario)
    assert isinstance(found, Attribution)
    return found.scores


def _of_weights(seed: int, family: str = "llama") -> MatrixScores:
    found = Random("weight", seed).score(tiny_lm(family), use_case())
    assert isinstance(found, MatrixScores)
    return found


def test_scores_depend_on_the_seed_alone() -> None:
    lm = tiny_lm("llama")
    first, again, other = (_dense(seed, case) for seed, case in ((1, use_case()), (1, prose()), (2, use_case())))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(set(first.tolist())) == len(first)
    assert Random("head").score(lm, use_case()).layout.space == "head"


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_those_of_weights_are_made_a_matrix_at_a_time_and_again_the_same(family: str) -> None:
    scores, lm = _of_weights(1, family), tiny_lm(family)
    last = scores.layout.sites[-1]
    alone = list(scores.only(lambda site: site == last).matrices())
    every = list(scores.matrices())
    assert len(every) == len(scores.layout.sites)
    for site, matrix in zip(scores.layout.sites, every, strict=True):
        assert matrix.shape == matrix_of(lm, site.path).shape
    assert len(alone) == 1
    assert torch.equal(alone[0], every[-1])
    assert torch.equal(every[0], next(_of_weights(1, family).matrices()))
    assert not torch.equal(every[0], next(_of_weights(2, family).matrices()))
    assert len({float(matrix[0, 0]) for matrix in every}) == len(every), "two matrices have the same scores"


def test_the_highest_weights_are_spread_evenly() -> None:
    layout = _of_weights(0).layout
    counts = torch.zeros(len(layout.sites))
    for seed in range(30):
        counts += torch.tensor([len(units) for units in nested(_of_weights(seed), [200])[0].pieces()])
    expected = torch.tensor([float(site.units) for site in layout.sites]) / layout.size * 30 * 200
    assert bool(((counts - expected).abs() < 5 * expected.sqrt()).all())


def test_the_highest_of_many_weights_do_not_tie() -> None:
    many = _drawn(Site("mlp", 0, 4_000_000), 0)
    assert len(many.topk(300).values.unique()) == 300


def test_no_tensor_of_the_size_of_all_weights_is_made() -> None:
    scores = _of_weights(0)
    with LargestTensor() as made:
        assert sum(piece.numel() for piece in scores.pieces()) == scores.layout.size
    assert 0 < made.elements == max(site.units for site in scores.layout.sites) < scores.layout.size
