"""Words to steer at are found as words: not inside other ones, where those are known when the token is read."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoTokenizer

from evenhand.edits.steer import Steer
from evenhand.lm.batches.logits import padded, positions
from evenhand.lm.batches.packed import pack, packed_inputs
from evenhand.lm.model import LM
from evenhand.lm.states.occurrences import Words, occurrence_of
from evenhand.lm.states.residual import Seen
from evenhand.lm.tokens import Continuations, encode
from evenhand.testing.tiny import tiny_lm

INSIDE = "a blackboard with blackberries blackened by a toothache of whiteness (re)told inkblack,"
ALONE = " a black, (white) ache for (ochre) ochre: Black and"
WORDS = ("black", "Black", "white", "ache", "ochre")

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def lm(models_dir) -> LM:
    """A tiny model with the tokenizer of GPT-2, in whose words others are whole tokens."""
    return tiny_lm("gpt2", tokenizer=AutoTokenizer.from_pretrained(models_dir / "tokenizers" / "gpt2"))


def found(lm: LM, *texts: str, left: bool = False) -> list[list[str]]:
    """What is written up to each token that was found, its last ten characters, text by text."""
    encoded = [encode(lm, text).ids for text in texts]
    ids, mask = padded(lm, encoded, left)
    hits = Words(lm, WORDS)(Seen(lm, {"input_ids": ids, "attention_mask": mask, **positions(lm, mask)}))
    return [
        [lm.tokenizer.decode(row[:i])[-10:] for i in range(1, len(row) + 1) if hit[keep.bool()][i - 1]]
        for row, hit, keep in zip(encoded, hits, mask, strict=True)
    ]


@pytest.mark.parametrize("left", [False, True])
def test_words_inside_other_words_are_left_alone(lm: LM, left: bool) -> None:
    inside, both, board = found(lm, INSIDE, INSIDE + ALONE, "Blackboard", left=left)
    assert inside == board == []
    text, encoded = INSIDE + ALONE, encode(lm, INSIDE + ALONE)
    places = {occurrence_of(text, encoded, word, i).last for word in WORDS for i in (0, -1)}
    assert both == [lm.tokenizer.decode(encoded.ids[: i + 1])[-10:] for i in sorted(places)]
    assert len(both) == 6


def test_of_what_comes_after_a_prompt_nobody_waits_for_the_next_token(lm: LM) -> None:
    ids = torch.tensor([encode(lm, "the blackboard").ids])
    assert ids.shape == (1, 3)
    for said, hit in (([0, 0, 0], False), ([0, 0, 1], True), ([0, 1, 1], True)):
        lm.said = torch.tensor([said], dtype=torch.bool)
        assert Words(lm, WORDS)(Seen(lm, {"input_ids": ids})).tolist() == [[False, hit, False]]
    lm.said = None
    assert Words(lm, WORDS)(Seen(lm, {"input_ids": ids[:, :2]})).tolist() == [[False, True]]


def test_a_word_that_goes_on_in_one_of_two_texts_that_share_it_is_found(lm: LM) -> None:
    board, cat = (encode(lm, f"the black{rest}").ids for rest in ("board is", " cat is"))
    row = pack([Continuations(each[:2], (each[2:],), (-1,), True) for each in (board, cat)]).rows
    (hits,) = Words(lm, WORDS)(Seen(lm, packed_inputs(lm, row)))
    assert hits.tolist() == [False, True, False, False]


def test_what_a_model_writes_is_steered_alike_with_and_without_cache(lm: LM) -> None:
    prompt, answer = (torch.tensor([encode(lm, text).ids]) for text in ("a blackboard and a black", "board, blackened"))
    forced = {"prefix_allowed_tokens_fn": lambda _, ids: [int(answer[0, len(ids) - prompt.shape[1]])]}
    more = {"do_sample": False, "max_new_tokens": answer.shape[1], "pad_token_id": 0, "output_logits": True,
            "return_dict_in_generate": True, **forced}  # fmt: skip
    vector = torch.randn(1, 32, generator=torch.Generator().manual_seed(0))
    with Steer((0,), vector, words=("black",)).applied(lm), torch.no_grad():
        cached, again = (torch.cat(lm.model.generate(prompt, use_cache=use, **more).logits) for use in (True, False))
    torch.testing.assert_close(cached, again, atol=1e-4, rtol=1e-4)
    plain = torch.cat(lm.model.generate(prompt, **more).logits)
    assert float((plain - cached).abs().max()) > 1e-3
