"""Attention weights against transformers' own, and the implementation put back."""

from __future__ import annotations

import pytest
import torch

from evenhand.lm.attribution.attention import attention, eager
from evenhand.lm.attribution.rows import prompt_rows
from evenhand.lm.attribution.trace import inputs
from evenhand.lm.model import LM
from evenhand.testing.conformance import state
from evenhand.testing.tiny import FAMILY_NAMES, MOE_NAMES, tiny_lm
from oracles.people import use_case


@pytest.mark.parametrize("name", [*FAMILY_NAMES, *MOE_NAMES])
def test_weights_are_those_transformers_reports(name: str) -> None:
    lm, other = tiny_lm(name), tiny_lm(name)
    layout, rows = lm.layout("head"), prompt_rows(lm, use_case().cases, names=True)
    ((chunk, found),) = attention(lm, rows, layout)
    with eager(other), torch.no_grad():
        out = other.model(**inputs(other, chunk), output_attentions=True)
    if lm.kind == "encoder-decoder":
        pairs = zip(out.decoder_attentions, out.cross_attentions, strict=True)
        expected = [*out.encoder_attentions, *(weights for pair in pairs for weights in pair)]
    else:
        expected = list(out.attentions)
    for site, weights in zip(layout.sites, expected, strict=True):
        assert torch.equal(found[site.path], weights), site.path


@pytest.mark.parametrize("name", ["llama", "gpt_neo", "gemma2", "bert", "t5"])
def test_the_implementation_and_its_bits_come_back(name: str) -> None:
    lm = tiny_lm(name)
    rows = prompt_rows(lm, use_case().cases)

    def logits() -> torch.Tensor:
        with torch.no_grad():
            return lm.model(**inputs(lm, rows)).logits

    before = logits()
    hooks = state(lm)["hooks"]
    list(attention(lm, rows, lm.layout("head")))
    assert state(lm)["hooks"] == hooks
    assert torch.equal(logits(), before)
    _interrupted(lm)
    assert torch.equal(logits(), before)


def _interrupted(lm: LM) -> None:
    try:
        with eager(lm):
            assert lm.model.config._attn_implementation == "eager"
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass


def test_long_prompts_make_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("llama")
    rows, layout = prompt_rows(lm, use_case().cases), lm.layout("head")
    whole = {row: weights for chunk, weights in attention(lm, rows, layout) for row in [chunk]}
    monkeypatch.setattr("evenhand.lm.attribution.attention._ENTRIES", 1)
    parts = list(attention(lm, rows, layout))
    assert len(whole) == 1
    assert len(parts) == len(rows)
    ((chunk, weights),) = whole.items()
    for (row,), alone in parts:
        r, n = chunk.index(row), len(row.ids)
        for site in layout.sites:
            torch.testing.assert_close(weights[site.path][r, :, :n, :n], alone[site.path][0], atol=1e-6, rtol=1e-5)
