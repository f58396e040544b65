"""Wanda per unit against loops over cases, tokens and units."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from evenhand.core.component import Site
from evenhand.core.errors import UsageError
from evenhand.lm.attribution.answers import answer_rows
from evenhand.lm.attribution.rows import prompt_rows
from evenhand.lm.model import LM
from evenhand.locate.activation_norm import ActivationNorm
from evenhand.testing.tiny import tiny_lm
from oracles.gates import writer_inputs
from oracles.people import use_case


def _columns(lm: LM, site: Site, unit: int) -> torch.Tensor:
    """The block of the writer's weight that this unit writes through, [out, width]."""
    module: Any = lm.module(site.path)
    weight = module.weight.T if type(module).__name__ == "Conv1D" else module.weight
    return weight.detach()[:, unit * site.width : (unit + 1) * site.width]


def _expected(lm: LM, space: Any, mode: str, tokens: str) -> torch.Tensor:
    layout, scenario = lm.layout(space), use_case()
    rows = prompt_rows(lm, scenario.cases) if tokens == "prompt" else answer_rows(lm, scenario)
    scores: list[float] = []
    inputs = []
    for row in rows:
        given: dict[str, Any] = {"input_ids": torch.tensor([row.ids])}
        if row.decoder:
            given["decoder_input_ids"] = torch.tensor([row.decoder])
        inputs.append(writer_inputs(lm, layout, **given))
    for site in layout.sites:
        for unit in range(site.units):
            per_case: list[float] = []
            for row, found in zip(rows, inputs, strict=True):
                a = found[site.path][list(row.places(site.stack, tokens))]
                written = a[:, unit * site.width : (unit + 1) * site.width] @ _columns(lm, site, unit).T
                size = written.norm(dim=1)
                per_case.append(float(size.mean() if mode == "paper" else size.square().sum()))
            mean = sum(per_case) / len(per_case)
            scores.append(mean if mode == "paper" else mean**0.5)
    return torch.tensor(scores)


@pytest.mark.parametrize("mode", ["paper", "l2"])
@pytest.mark.parametrize(
    ("space", "name", "tokens"),
    [("neuron", "gpt2", "prompt"), ("neuron", "opt", "all"), ("neuron", "llama", "answer"), ("neuron", "t5", "prompt"),
     ("head", "qwen3", "prompt"), ("head", "gpt2", "all"), ("head", "mixtral", "prompt")],
)  # fmt: skip
def test_scores_equal_the_loop(space: Any, name: str, tokens: Any, mode: Any) -> None:
    lm = tiny_lm(name)
    found = ActivationNorm(space, mode, tokens).score(lm, use_case())
    torch.testing.assert_close(found.scores, _expected(lm, space, mode, tokens), atol=1e-5, rtol=1e-4)
    assert bool((found.scores >= 0).all())


def test_a_masked_model_reads_every_case_once_however_long_its_answer() -> None:
    """The score over two cases with answers of one and of several tokens is the mean of the scores of both texts."""
    lm, (one, other) = tiny_lm("bert"), use_case().cases[:2]
    cases = replace(one, options=(" yes",) * 2), replace(other, options=(" no, it is late",) * 2)
    both = replace(use_case(), cases=cases, groups=("a",))
    texts = replace(both, cases=tuple(replace(case, prompt=case.prompt + case.options[0]) for case in cases))
    found, expected = ActivationNorm(tokens="all").score(lm, both), ActivationNorm(tokens="prompt").score(lm, texts)
    torch.testing.assert_close(found.scores, expected.scores)


def test_a_unit_without_such_tokens_has_no_score() -> None:
    lm = tiny_lm("t5")
    scores = ActivationNorm(tokens="answer").score(lm, use_case()).scores
    assert bool(scores[:96].isnan().all())
    assert bool(scores[96:].isfinite().all())


def test_no_cases_and_wrong_settings_are_errors() -> None:
    lm = tiny_lm("llama")
    with pytest.raises(UsageError, match="no cases"):
        ActivationNorm().score(lm, use_case().where(lambda case: False))
    wrong = ActivationNorm()
    object.__setattr__(wrong, "mode", "l1")  # as from a settings file, which nothing checks before
    with pytest.raises(UsageError, match="mode"):
        wrong.score(lm, use_case())
