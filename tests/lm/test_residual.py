"""The stream at block outputs: what is read is what the model computes, and what is put in arrives once, everywhere."""

import json

import pytest
import torch
from tokenizers import Tokenizer

from evenhand.core.errors import UsageError
from evenhand.lm.batches.logits import padded, positions
from evenhand.lm.batches.shared import share
from evenhand.lm.batches.variants import RowMasks
from evenhand.lm.model import LM
from evenhand.lm.states.occurrences import Words, forms, occurrence_of
from evenhand.lm.states.residual import EMBEDDINGS, Patch, Seen, capture, changing, depth, patched
from evenhand.lm.tokens import encode
from evenhand.testing.tiny import tiny_lm, tiny_tokenizer

TEXTS = ("Maria sold her lamp.", "The doctor asked Jamal, and Jamal answered the doctor.")


@pytest.mark.parametrize("name", ["llama", "gpt2", "opt", "bert", "t5"])
def test_captured_streams_are_the_hidden_states_of_transformers(name: str) -> None:
    lm = tiny_lm(name)
    ids = [encode(lm, text, True).ids for text in TEXTS]
    found = capture(lm, ids, [[0, len(each) - 1] for each in ids], range(EMBEDDINGS, depth(lm)))
    for each, mine in zip(ids, found, strict=True):
        trunk = lm.model.get_encoder() if name == "t5" else lm.model
        with torch.no_grad():
            states = trunk(input_ids=torch.tensor([each]), output_hidden_states=True).hidden_states
        theirs = torch.stack([layer[0, [0, -1]] for layer in states[:-1]], dim=1)
        torch.testing.assert_close(mine[:, :-1], theirs, atol=1e-5, rtol=1e-5)


def _batch_logits(lm: LM, texts: list[str], left: bool) -> list[torch.Tensor]:
    ids, mask = padded(lm, [encode(lm, text).ids for text in texts], left=left)
    with torch.no_grad():
        logits = lm.model(input_ids=ids, attention_mask=mask, **positions(lm, mask)).logits
    return [row[keep.bool()][-1] for row, keep in zip(logits, mask, strict=True)]


@pytest.mark.parametrize("name", ["llama", "gpt2", "opt"])
def test_a_patch_hits_its_token_whatever_the_padding(name: str) -> None:
    lm = tiny_lm(name)
    vectors = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    alone = []
    for row, text in enumerate(TEXTS):
        with patched(lm, [Patch(1, vectors[[row]], torch.tensor([3 + row]))]):
            alone += _batch_logits(lm, [text], False)
    both = Patch(1, vectors, torch.tensor([3, 4]), torch.tensor([0, 1]))
    for left in (True, False):
        with patched(lm, [both]):
            found = _batch_logits(lm, list(TEXTS), left)
        torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-4)
        assert not torch.allclose(found[0], _batch_logits(lm, list(TEXTS), left)[0])


def test_a_change_arrives_once_where_blocks_are_shared_between_rows() -> None:
    lm = tiny_lm("t5")
    prompt = encode(lm, "How many apples?").ids

    def add(hidden: torch.Tensor, seen: Seen) -> torch.Tensor:
        return hidden + 0.5

    with changing(lm, {0: add, 1: add}):
        alone, twice = (share(lm, [prompt] * n, RowMasks(lm, [None]), [0] * n, keep=False).logits for n in (1, 2))
    torch.testing.assert_close(twice, alone.expand(2, -1), atol=1e-5, rtol=1e-5)


def test_layers_and_positions_that_are_not_there_are_refused() -> None:
    lm = tiny_lm("llama")
    with pytest.raises(UsageError, match=r"blocks of .* are 0 to 2"):
        capture(lm, [(1, 2)], [[0]], [3])
    with pytest.raises(UsageError, match="text of 2 tokens"):
        capture(lm, [(1, 2)], [[2]])


def test_words_are_found_by_text_and_checked() -> None:
    lm = tiny_lm("gpt2")
    text = TEXTS[1]
    encoded = encode(lm, text)
    first, last = (occurrence_of(text, encoded, "Jamal", i) for i in (0, -1))
    assert first.last < last.last
    assert first.text.strip() == last.text.strip() == "Jamal"
    with pytest.raises(UsageError, match="stands 2 times"):
        occurrence_of(text, encoded, "Jamal", 2)
    with pytest.raises(UsageError, match="nowhere"):
        occurrence_of(text, encoded, "Jam")


def test_words_of_several_tokens_are_found_in_batches() -> None:
    lm = tiny_lm("gpt2")
    assert any(len(form) > 1 for form in forms(lm, "doctor"))
    words, encoded = Words(lm, ["doctor"]), [encode(lm, text) for text in TEXTS]
    wanted = [occurrence_of(TEXTS[1], encoded[1], "doctor", i).last for i in (0, 1)]
    for left in (True, False):
        ids, mask = padded(lm, [each.ids for each in encoded], left=left)
        hits = words(Seen(lm, {"input_ids": ids, "attention_mask": mask}))
        assert [hit[keep.bool()].nonzero()[:, 0].tolist() for hit, keep in zip(hits, mask, strict=True)] == [[], wanted]


def test_a_token_that_takes_the_space_after_a_word_is_the_word_too() -> None:
    tokenizer = tiny_tokenizer()
    trailing = json.loads(tokenizer.backend_tokenizer.to_str())
    trailing["pre_tokenizer"] = None
    trailing["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "_"}
    trailing["model"]["vocab"]["b_"] = len(trailing["model"]["vocab"])
    trailing["model"]["merges"] = [["b", "_"]]
    lm = tiny_lm("gpt2", tokenizer=type(tokenizer)(tokenizer_object=Tokenizer.from_str(json.dumps(trailing))))
    ids = encode(lm, "a b a").ids
    assert len(ids) == 4
    hits = Words(lm, ["b"])(Seen(lm, {"input_ids": torch.tensor([ids])}))
    assert hits.tolist() == [[False, False, True, False]]
