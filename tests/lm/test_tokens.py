"""Options are encoded together with their prompt, whatever the tokenizer merges at the seam."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun, UsageError
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.lm.tokens import continuations, encode, encode_all, end_ids, pad_id, render
from evenhand.testing.tiny import tiny_lm, tiny_tokenizer

REAL = ["gpt2", "gpt-neox", "phi-2", "falcon-tokenizer", "roberta-base", "t5-small", "bert-base-uncased",
        "simplestories-4096"]  # fmt: skip
SEAMS = [
    ("It costs ", ("500", "1,250", "forty")),
    ("It costs", (" 500", " a lot", "500")),
    ("I would offer $", ("1250", "15%")),
    ("She is a doc", ("tor", "ile", "uments")),
    ("The capital of France is", (" Paris", " Rome")),
]


def _with(tokenizer: Any, name: str) -> LM:
    """A tiny model of the right kind that has only its tokenizer replaced: nothing is run."""
    lm = tiny_lm(name)
    lm.tokenizer = tokenizer
    return lm


@cache
def _real(models_dir: Path, name: str) -> LM:
    from transformers import AutoTokenizer

    kind = "bert" if name in ("roberta-base", "bert-base-uncased") else "gpt2"
    return _with(AutoTokenizer.from_pretrained(models_dir / "tokenizers" / name), kind)


@pytest.mark.models
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize(("prompt", "options"), SEAMS)
def test_tails_rebuild_the_joint_encoding(models_dir: Path, name: str, prompt: str, options: tuple[str, ...]) -> None:
    lm = _real(models_dir, name)
    found = continuations(lm, prompt, options)
    for option, tail, first in zip(options, found.tails, found.first, strict=True):
        joint = encode(lm, prompt + option)
        assert found.prefix + tail == joint.ids
        start = len(found.prefix) + first
        assert joint.offsets[start][1] > len(prompt)
        assert all(end <= len(prompt) for _, end in joint.offsets[:start])
        scored = lm.tokenizer.decode(tail[first:], clean_up_tokenization_spaces=False)
        assert "".join(option.split()).lower() in "".join(scored.split()).lower()


@pytest.mark.models
@pytest.mark.parametrize("name", ["gpt2", "gpt-neox", "phi-2", "roberta-base"])
def test_a_space_before_a_number_merges_with_it(models_dir: Path, name: str) -> None:
    lm = _real(models_dir, name)
    found = continuations(lm, "It costs ", ("500",))
    alone = lm.tokenizer("It costs ", add_special_tokens=False)["input_ids"]
    special = 1 if name == "roberta-base" else 0
    assert found.prefix[special:] == tuple(alone[:-1])
    assert found.first == (0,)


@pytest.mark.models
def test_start_and_end_tokens_are_those_of_the_tokenizer(models_dir: Path) -> None:
    expected = {"gpt2": (0, 0), "roberta-base": (1, 1), "bert-base-uncased": (1, 1), "simplestories-4096": (0, 0)}
    for name, (before, after) in expected.items():
        lm = _real(models_dir, name)
        offsets = encode(lm, "once upon a time").offsets
        zero = [start == end for start, end in offsets]
        assert (zero[0], zero[-1]) == (bool(before), bool(after)), name
        assert not any(zero[before : len(zero) - after])


@pytest.mark.models
def test_an_unknown_character_in_an_option_is_refused(models_dir: Path) -> None:
    with pytest.raises(UsageError, match="does not know"):
        continuations(_real(models_dir, "bert-base-uncased"), "It is", (" 𓀀",))


@pytest.mark.models
def test_characters_that_a_tokenizer_drops_do_not_move_the_option(models_dir: Path) -> None:
    lm = load(models_dir / "tinystories-656k")
    plain = continuations(lm, "Is it 1 or 2, she said. Answer:", (" one", " two", " no"))
    dropped = continuations(lm, "Is it (1) or (2), she said. Answer:", (" one", " two", " no"))
    assert lm.tokenizer("(")["input_ids"] == lm.tokenizer("")["input_ids"] + [lm.tokenizer.convert_tokens_to_ids("▁")]
    assert dropped.tails == plain.tails
    assert dropped.first == plain.first
    with pytest.raises(UsageError, match="adds no token"):
        continuations(lm, "Is it (1)", ("(",))


def test_many_texts_are_encoded_like_one() -> None:
    for name in ("gpt2", "bert", "t5"):
        lm = tiny_lm(name)
        texts = ["$1,250", "", " a naïve idea", "She sold her bicycle."]
        assert encode_all(lm, texts) == [encode(lm, text) for text in texts]
        assert encode_all(lm, []) == []


def test_options_that_cannot_be_told_apart_from_the_prompt_are_refused() -> None:
    lm = tiny_lm("gpt2")
    with pytest.raises(UsageError, match="empty"):
        continuations(lm, "A prompt", ())
    with pytest.raises(UsageError, match="empty"):
        continuations(lm, "A prompt", (" yes", ""))
    whole = next(token for token in ("an", "he", "or", "in") if len(encode(lm, token).ids) == 1)
    with pytest.raises(UsageError, match="merges with its whole prompt"):
        continuations(lm, whole[0], (whole[1],))


def test_a_start_token_is_kept_and_an_end_token_dropped() -> None:
    from tokenizers import processors

    tokenizer = tiny_tokenizer("bert")
    tokenizer.bos_token = "[CLS]"
    lm = _with(tokenizer, "gpt2")
    start = tokenizer.convert_tokens_to_ids("[CLS]")
    assert encode(lm, "a").ids[0] == start
    assert encode(lm, "a").ids[-1] != tokenizer.convert_tokens_to_ids("[SEP]")
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", start)]
    )
    assert encode(lm, "").ids == (start,)
    lm.chat = True
    assert start not in encode(lm, "a").ids
    assert encode(lm, "a", whole=True).ids[0] == start


def test_prompts_go_through_the_chat_template_only_when_asked() -> None:
    lm = tiny_lm("gpt2")
    case = Case("0", "How much?", "c", system="Be brief.", answer_prefix=" $")
    assert render(lm, case) == "Be brief.\n\nHow much? $"
    lm.tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<bot>{% endif %}"
    )
    assert render(lm, case) == "Be brief.\n\nHow much? $"
    lm.chat = True
    assert render(lm, case) == "<system>Be brief.<user>How much?<bot> $"
    lm.tokenizer.chat_template = "{{ raise_exception('no system prompt here') }}"
    with pytest.raises(CannotRun, match="refused the prompt"):
        render(lm, case)


def test_padding_and_end_ids() -> None:
    lm = tiny_lm("gpt2")
    assert pad_id(lm) == lm.tokenizer.pad_token_id
    lm.tokenizer.pad_token = None
    assert pad_id(lm) == 0
    lm.model.generation_config.eos_token_id = [5, 7]
    assert end_ids(lm) == {5, 7, lm.tokenizer.eos_token_id}
