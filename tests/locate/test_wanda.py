"""Wanda of single weights against every score written out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from evenhand.core.entries import difference
from evenhand.core.errors import UsageError
from evenhand.lm.model import LM
from evenhand.locate.wanda import Wanda
from evenhand.testing.tiny import tiny_lm
from oracles.people import prose, use_case
from oracles.weights import prune_set, wanda, weight


@pytest.mark.parametrize("tokens", ["all", "answer", "prompt"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "t5", "opt", "bert"])
def test_scores_equal_the_loop(name: str, tokens: Any) -> None:
    lm, scenario = tiny_lm(name), use_case()
    found, expected = Wanda(tokens=tokens).score(lm, scenario), wanda(lm, scenario, tokens)
    for site, scores in zip(found.layout.sites, found.matrices(), strict=True):
        torch.testing.assert_close(scores, expected[site.path], atol=1e-6, rtol=1e-4)
        assert bool((scores >= 0).all())


@pytest.mark.parametrize("option", [" yes", " no, it is late"])
def test_a_masked_model_reads_every_case_once_however_long_its_answer(option: str) -> None:
    """‖X‖² of prompt and answer is that of the one text, not of a copy for each token that is masked."""
    lm, case = tiny_lm("bert"), replace(use_case().cases[0], options=(option, option))
    one = replace(use_case(), cases=(case,), groups=("a",))
    text = replace(one, cases=(replace(case, prompt=case.prompt + option),))
    read, written = Wanda().score(lm, one), Wanda(tokens="prompt").score(lm, text)
    for scores, expected in zip(read.matrices(), written.matrices(), strict=True):
        torch.testing.assert_close(scores, expected)


def _norms(lm: LM, part: Any) -> dict[str, torch.Tensor]:
    """Of the inputs: the scores divided by the weights."""
    return {path: (s / weight(lm, path).abs()).nanmedian(0).values for path, s in wanda(lm, part, "all").items()}


def test_the_set_of_one_matrix_is_that_of_the_papers_pseudo_code() -> None:
    lm, scenario = tiny_lm("qwen3"), use_case()
    one, other = (scenario.where(lambda c, g=group: c.group == g) for group in ("b", "a"))
    chosen = difference(Wanda().score(lm, one), Wanda().score(lm, other), (0.15, 0.15), "matrix")
    minority, majority = _norms(lm, one), _norms(lm, other)
    assert len(chosen) > 50
    for site, units in zip(chosen.layout.sites, chosen.pieces(), strict=True):
        expected = prune_set(weight(lm, site.path), minority[site.path], majority[site.path], (0.15, 0.15))
        differ = set(units.tolist()) ^ set(expected.flatten().nonzero().flatten().tolist())
        assert len(differ) <= 2, "but for what rounding the norms moves over a threshold"


def test_other_spaces_and_no_cases_are_errors_and_texts_are_scored_as_they_are() -> None:
    lm = tiny_lm("llama")
    with pytest.raises(UsageError, match="activation_norm"):
        Wanda("neuron")
    with pytest.raises(UsageError, match="no cases"):
        Wanda().score(lm, use_case().where(lambda case: False))
    assert all(bool((scores > 0).any()) for scores in Wanda().score(lm, prose()).matrices())


def test_bfloat16_is_scored_in_float32() -> None:
    lm = tiny_lm("llama", dtype=torch.bfloat16)
    scores = next(Wanda().score(lm, use_case()).matrices())
    assert scores.dtype == torch.float32
    assert not torch.equal(scores, scores.bfloat16().float())
