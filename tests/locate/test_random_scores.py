"""Random scores depend on the seed alone."""

from __future__ import annotations

import torch

from evenhand.locate.random import Random
from evenhand.testing.tiny import tiny_lm
from oracles.people import prose, use_case


def test_scores_depend_on_the_seed_alone() -> None:
    lm = tiny_lm("llama")
    first = Random(seed=1).score(lm, use_case()).scores
    assert torch.equal(first, Random(seed=1).score(lm, prose()).scores)
    assert not torch.equal(first, Random(seed=2).score(lm, use_case()).scores)
    assert len(set(first.tolist())) == len(first)
    assert Random("head").score(lm, use_case()).layout.space == "head"
