"""Attention to the name against a loop over cases, heads, queries and name tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from evenhand import find
from evenhand.core.errors import UsageError
from evenhand.lm.attribution.answers import answer_rows
from evenhand.lm.attribution.attention import eager
from evenhand.locate.name_attention import NameAttention
from evenhand.testing.tiny import tiny_lm
from oracles.people import use_case


@pytest.mark.parametrize("name", ["llama", "gpt_neo", "opt"])
@pytest.mark.parametrize("reduce", ["max", "mean"])
@pytest.mark.parametrize("positions", ["prompt", "generation"])
def test_scores_equal_the_loop(name: str, reduce: Any, positions: Any) -> None:
    lm, scenario = tiny_lm(name), use_case()
    found = NameAttention(reduce=reduce, positions=positions).score(lm, scenario)
    total = torch.zeros(found.layout.size)
    rows = answer_rows(lm, scenario)
    for case, row in zip(scenario.cases, rows, strict=True):
        start = case.prompt.index(case.name)
        offsets = lm.tokenizer(case.prompt, return_offsets_mapping=True)["offset_mapping"]
        name_at = [i for i, (a, b) in enumerate(offsets) if a < start + len(case.name) and b > start]
        ids, queries = row.ids[: len(offsets)], range(name_at[-1] + 1, len(offsets))
        if positions == "generation":
            ids, queries = row.ids, range(row.prompt - 1, len(row.ids) - 1)
        with eager(lm), torch.no_grad():
            maps = lm.model(input_ids=torch.tensor([ids]), output_attentions=True).attentions
        seen = torch.stack([a[0, :, list(queries)][:, :, name_at] for a in maps]).flatten(2)
        total += (seen.amax(-1) if reduce == "max" else seen.mean(-1)).flatten()
    torch.testing.assert_close(found.scores, total / len(scenario.cases), atol=1e-5, rtol=1e-4)
    assert bool(((found.scores >= 0) & (found.scores <= 1)).all())


def test_a_masked_model_looks_once_however_long_its_answer() -> None:
    lm, scenario = tiny_lm("bert"), use_case()
    case = replace(scenario.cases[0], options=(" no, it is late",) * 2)
    found = NameAttention(positions="generation").score(lm, replace(scenario, cases=(case,), groups=("a",)))
    out = lm.tokenizer(case.prompt + case.options[0], return_offsets_mapping=True)
    offsets, begin = out["offset_mapping"], case.prompt.index(case.name)
    name_at = [i for i, (a, b) in enumerate(offsets) if a < begin + len(case.name) and b > begin and b > a]
    first = next(i for i, (_, b) in enumerate(offsets) if b > len(case.prompt))
    with eager(lm), torch.no_grad():
        maps = lm.model(input_ids=torch.tensor([out["input_ids"]]), output_attentions=True).attentions
    seen = torch.cat([a[0, :, first - 1 : -1][:, :, name_at].flatten(1).amax(1) for a in maps])
    torch.testing.assert_close(found.scores, seen, atol=1e-5, rtol=1e-4)


def test_encoder_and_cross_heads_see_the_name_and_decoder_heads_cannot() -> None:
    lm = tiny_lm("t5")
    found = NameAttention().score(lm, use_case())
    for site, scores in found.layout.split(found.scores):
        blind = site.stack == "decoder" and "EncDec" not in site.path
        assert bool((scores == 0).all()) == blind, site.path


def test_a_prompt_that_ends_with_the_name_is_an_error() -> None:
    scenario = use_case()
    case = replace(scenario.cases[0], id="last/1", prompt="The seller is Hunter")
    with pytest.raises(UsageError, match="last/1"):
        NameAttention().score(tiny_lm("llama"), replace(scenario, cases=(case,)))


def test_only_heads_have_attention() -> None:
    with pytest.raises(UsageError, match=r"scores heads: a neuron has no attention .*--space head"):
        find.build("locate", "name_attention", {"space": "neuron"})
