"""One vector per text: the right token of the right layer, whatever else is in the batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.utils import logging

from evenhand.core.answer import Pooling
from evenhand.core.case import Case
from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.scenario import Context, Scenario
from evenhand.edits.scale import Scale
from evenhand.export.card import ModelCard
from evenhand.export.checkpoint import checkpoint
from evenhand.lm.batches.variants import Variant
from evenhand.lm.embeddings import Embedding, embed_texts
from evenhand.lm.generation.generate import generate
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.lm.read import Reading, read
from evenhand.lm.tokens import encode_all
from evenhand.study._readouts import decode, encode
from evenhand.testing.conformance import untouched
from evenhand.testing.tiny import FAMILY_NAMES, MASKED_NAMES, MOE_NAMES, tiny_lm

TEXTS = ["Maria", "She said that it was late.", "Maria sold her old bicycle for $120 and bought a lamp.", "a lamp"]
CASES = tuple(Case(text, text, "here", cluster=text) for text in TEXTS)
WORDS = Scenario("words", CASES, (Context("here", "embedding"),))


def _states(lm: LM, text: str) -> tuple[Tensor, ...]:
    """All hidden states of one text, by transformers' own means: blocks from index 1, the last after the final norm."""
    ids = torch.tensor([encode_all(lm, [text], True, or_end=True)[0].ids])
    trunk = lm.model.get_encoder() if lm.kind == "encoder-decoder" else lm.model
    with torch.no_grad():
        out: Any = trunk(input_ids=ids, output_hidden_states=True)
    return tuple(state[0] for state in out.hidden_states)


@pytest.mark.parametrize("name", [*FAMILY_NAMES, *MOE_NAMES])
def test_vectors_are_the_hidden_states_of_the_model_alone(name: str) -> None:
    lm = tiny_lm(name)
    plain = [_states(tiny_lm(name), text) for text in TEXTS]
    first = 1 if lm.kind == "causal" else 0  # every tiny causal model's text begins with its end token
    for layer, at in ((None, -1), (0, 1), (1, 2)):
        if at == 2 and len(plain[0]) == 3:
            continue  # the last block, whose state transformers gives only after the final norm
        last = embed_texts(lm, TEXTS, Embedding(layer, "last"))[0]
        mean = embed_texts(lm, TEXTS, Embedding(layer, "mean"))[0]
        ends = [-1 if lm.kind == "causal" else -2] * len(TEXTS)
        assert torch.allclose(last, torch.stack([s[at][e] for s, e in zip(plain, ends, strict=True)]), atol=1e-5)
        assert torch.allclose(mean, torch.stack([s[at][first:].mean(0) for s in plain]), atol=1e-5)


@pytest.mark.parametrize("name", [*FAMILY_NAMES, *MOE_NAMES])
@pytest.mark.parametrize("layer", [None, 0, -1])
def test_vectors_do_not_depend_on_the_batch(name: str, layer: int | None) -> None:
    lm = tiny_lm(name)
    poolings: tuple[Pooling, ...] = ("auto", "mean", "last") if lm.kind == "causal" else ("auto", "first", "last")
    for pooling in poolings:
        together = embed_texts(lm, TEXTS, Embedding(layer, pooling))[0]
        lm.budget = 1
        alone = embed_texts(lm, TEXTS, Embedding(layer, pooling))[0]
        lm.budget = 8192
        assert together.dtype == torch.float32
        assert float((together - alone).abs().max()) < 1e-5
        assert float((together[0] - together[1]).abs().max()) > 1e-2


def test_pooling_says_which_token() -> None:
    lm = tiny_lm("bert")
    by = {pooling: embed_texts(lm, TEXTS, Embedding(None, pooling))[0] for pooling in ("auto", "mean", "first", "last")}
    assert torch.equal(by["auto"], by["mean"])
    states = [_states(lm, text)[-1] for text in TEXTS]
    assert torch.allclose(by["first"], torch.stack([state[0] for state in states]), atol=1e-5)
    assert torch.allclose(by["mean"], torch.stack([state.mean(0) for state in states]), atol=1e-5)
    lm = tiny_lm("gpt2")
    assert torch.equal(embed_texts(lm, TEXTS)[0], embed_texts(lm, TEXTS, Embedding(None, "last"))[0])


def test_the_model_is_left_as_it_was() -> None:
    lm = tiny_lm("llama")
    with untouched(lm, "embedding"):
        embed_texts(lm, TEXTS, Embedding(1, "mean"))


@pytest.mark.parametrize("name", ["llama", "bert", "t5"])
def test_variants_share_a_batch_and_equal_the_edit(name: str) -> None:
    lm = tiny_lm(name)
    pick = Selection.of(lm.layout("neuron"), [3, 50, 60])
    base, varied = embed_texts(lm, TEXTS, variants=[None, Variant(pick)])
    assert torch.allclose(base, embed_texts(lm, TEXTS)[0], atol=1e-6)
    with Scale(pick).applied(lm):
        edited = embed_texts(lm, TEXTS)[0]
    assert torch.allclose(varied, edited, atol=1e-5)
    assert float((varied - base).abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("texts", "embedding", "kind", "words"),
    [
        (["a", ""], Embedding(), UsageError, "the text '' has no tokens"),
        (["a"], Embedding(3), UsageError, r"no layer 3: the blocks of tiny:gpt2:0 are 0 to 2 \(or, from the end, -1"),
        (["a"], Embedding(-4), UsageError, "no layer -4"),
        (["a"], Embedding(None, "first"), UsageError, "its first token sees nothing"),
        (["a " * 600], Embedding(), CannotRun, "sees at most 512"),
    ],
)
def test_what_has_no_vector_is_refused(
    texts: list[str], embedding: Embedding, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        embed_texts(tiny_lm("gpt2"), texts, embedding)


def test_a_readout_of_vectors_has_no_answers_and_is_kept() -> None:
    lm = tiny_lm("llama")
    (readout,) = read(lm, WORDS, Reading(embedding=Embedding(1, "mean")))
    assert (readout.kind, len(readout.value), readout.defined.all()) == ("embedding", 0, True)
    assert torch.equal(readout.arrays["vector"], embed_texts(lm, TEXTS, Embedding(1, "mean"))[0])
    assert readout.arrays["tokens"].tolist() == [len(e.ids) for e in encode_all(lm, TEXTS, True, or_end=True)]
    assert json.loads(json.dumps(readout.notes)) == {"mode": "embedding", "layer": 1, "pooling": "mean", "chat": False}
    (again,) = decode(encode([readout]), WORDS)
    assert torch.equal(again.arrays["vector"], readout.arrays["vector"])
    with torch.no_grad():
        lm.model.get_input_embeddings().weight[encode_all(lm, ["Maria"])[0].ids[0]] = torch.nan
    (broken,) = read(lm, WORDS)
    assert broken.defined.tolist() == [False, True, False, True]


@pytest.fixture(params=MASKED_NAMES)
def headless(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[LM, LM]:
    """A masked model, and the same saved without its head and read again."""
    logging.disable_progress_bar()
    whole = tiny_lm(request.param)
    whole.model.base_model.save_pretrained(tmp_path)
    whole.tokenizer.save_pretrained(tmp_path)
    return whole, load(tmp_path)


def test_an_encoder_saved_without_its_head_gives_the_same_vectors(headless: tuple[LM, LM]) -> None:
    whole, bare = headless
    assert type(bare.model).__name__.endswith("Model")
    named = [site.path.split(".", 1)[1] for site in whole.layout("head").sites]
    assert named == [site.path for site in bare.layout("head").sites]
    for layer in (None, 0, -1):
        assert torch.equal(
            embed_texts(whole, TEXTS, Embedding(layer))[0], embed_texts(bare, TEXTS, Embedding(layer))[0]
        )


def test_an_encoder_without_head_refuses_all_that_needs_one(headless: tuple[LM, LM], tmp_path: Path) -> None:
    bare = headless[1]
    case = Case("1", "She said", "here", options=(" yes", " no"), favourable=0)
    for outcome in ("choice", "pair", "sentence"):
        with pytest.raises(CannotRun, match="is an encoder without language-model head: it predicts no tokens"):
            read(bare, Scenario("one", (case,), (Context("here", outcome),)))
    with pytest.raises(CannotRun, match="is a masked model: it writes no answers"):
        read(bare, Scenario("one", (case,), (Context("here", "number"),)))
    with pytest.raises(CannotRun, match="is an encoder without language-model head"):
        generate(bare, [case])
    edit = Scale(Selection.of(bare.layout("neuron"), [1]))
    with pytest.raises(CannotRun, match="is an encoder without language-model head"):
        checkpoint(bare, edit, tmp_path / "out", ModelCard(None, None, {}, ""))
