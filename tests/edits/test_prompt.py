"""A text before every question: in the system turn or before the prompt, never before whole texts, gone afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.edits.compose import Compose
from evenhand.edits.prompt import Prompt
from evenhand.lm.generation.generate import generate
from evenhand.lm.generation.sampling import Sampling
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import score_options
from evenhand.lm.scoring.texts import score_texts
from evenhand.lm.tokens import render
from evenhand.methods.fairness_prompt import FairnessPrompt
from evenhand.testing.tiny import tiny_lm

CASE = Case("1", "Sell the lamp?", "sale", options=(" yes", " no"), favourable=0, answer_prefix=" I say")
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def _chat(template: str) -> LM:
    lm = tiny_lm("llama")
    lm.tokenizer.chat_template, lm.chat = template, True
    return lm


def test_without_a_template_it_stands_before_the_prompt_and_its_system_text() -> None:
    lm = tiny_lm("gpt2")
    system = replace(CASE, system="You sell lamps.")
    before = render(lm, CASE), render(lm, system)
    with Prompt("Be fair.").applied(lm):
        assert render(lm, CASE) == "Be fair.\n\nSell the lamp? I say"
        assert render(lm, system) == "Be fair.\n\nYou sell lamps.\n\nSell the lamp? I say"
    assert (render(lm, CASE), render(lm, system)) == before == (
        "Sell the lamp? I say", "You sell lamps.\n\nSell the lamp? I say",
    )  # fmt: skip


def test_a_chat_model_gets_one_system_turn() -> None:
    lm = _chat(TEMPLATE)
    system = replace(CASE, system="You sell lamps.")
    with Prompt("Be fair.\n").applied(lm):
        assert render(lm, CASE) == "<system>Be fair.\n<user>Sell the lamp?\n<assistant> I say"
        assert render(lm, system).startswith("<system>Be fair.\n\n\nYou sell lamps.\n<user>")


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}", "leaves the system prompt out"),
        ("{% if messages[0].role != 'user' %}{{ raise_exception('user first') }}{% endif %}x", "user first"),
    ],
)
def test_a_template_without_system_turn_is_refused_and_left_as_it_was(template: str, why: str) -> None:
    lm = _chat(template)
    with pytest.raises(CannotRun, match=why), Prompt("Be fair.").applied(lm):
        score_options(lm, [CASE])
    assert not lm.asking
    assert not lm.edits


@pytest.mark.parametrize("family", ["gpt2", "bert", "t5"])
def test_answers_are_those_to_the_longer_prompt_and_whole_texts_stay(family: str) -> None:
    lm = tiny_lm(family)
    written = replace(CASE, prompt=f"Be fair.\n\n{CASE.prompt}")
    texts = ["Maria sold her old bicycle.", "He asked the doctor."]
    pair = Case("2", "", "pair", options=("She said yes.", "He said yes."))
    plain, alone = score_texts(lm, texts)[0].logp, score_options(lm, [pair])[0][0]
    with Prompt("Be fair.").applied(lm):
        assert torch.equal(score_options(lm, [CASE])[0][0], score_options(tiny_lm(family), [written])[0][0])
        assert torch.equal(score_texts(lm, texts)[0].logp, plain)
        assert torch.equal(score_options(lm, [pair])[0][0], alone)
        if family != "bert":
            said = Sampling(2, max_new_tokens=3)
            assert generate(lm, [CASE], said) == generate(tiny_lm(family), [written], said)


def test_of_two_texts_the_one_applied_last_comes_first() -> None:
    lm = tiny_lm("gpt2")
    with Compose((Prompt("Be fair."), Prompt("Be brief."))).applied(lm):
        assert render(lm, CASE).startswith("Be brief.\n\nBe fair.\n\nSell")
        with Prompt("Hear, hear.").applied(lm):
            assert render(lm, CASE).startswith("Hear, hear.\n\nBe brief.")
    assert not lm.asking


def test_it_is_for_run_time_only() -> None:
    edit = Prompt("Be fair.")
    assert edit.run_time_only
    with pytest.raises(CannotRun, match="cannot be baked"):
        edit.bake(tiny_lm("gpt2"))


def test_a_dose_is_a_number_of_sentences() -> None:
    lm, nothing = tiny_lm("gpt2"), None
    method = FairnessPrompt(text="Be fair. Be kind!  Do not guess.")
    said = [edit.text for edit in method.path(lm, nothing, nothing, [0, 1, 2, 3, 9])]
    whole = "Be fair. Be kind! Do not guess."
    assert said == ["", "Be fair.", "Be fair. Be kind!", whole, whole]
    assert (method.dose.own, method.fit(lm, nothing, nothing).text) == (3, whole)
    assert len(FairnessPrompt()._sentences()) == 3


def test_the_control_is_as_long_and_asks_for_nothing() -> None:
    edit = FairnessPrompt().fit(tiny_lm("gpt2"), None, None)
    controls = [edit.control(seed).text for seed in range(4)]
    assert len(set(controls)) > 1
    for text in controls:
        assert 0 <= len(text.split()) - len(edit.text.split()) < 16
        assert "gender" not in text
