"""Two turns: what the model says first is its own greedy answer, kept, and stands where it should."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits.compose import Compose
from evenhand.edits.prompt import Prompt
from evenhand.edits.scale import Scale
from evenhand.edits.self_ask import SelfAsk
from evenhand.lm.generation import first_answers
from evenhand.lm.generation.generate import generate
from evenhand.lm.generation.sampling import Sampling
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import score_options
from evenhand.lm.scoring.texts import score_texts
from evenhand.lm.tokens import render
from evenhand.methods.self_debias_prompt import SelfDebiasPrompt
from evenhand.testing.tiny import tiny_lm

CASE = Case("1", "Sell the lamp? I say", "sale", options=(" yes", " no"), favourable=0)
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
EXPLAIN, AGAIN = SelfAsk("explanation", "Which are unfair?", 4), SelfAsk("reprompting", "Again, fairly.", 4)


def _said(lm: LM, text: str) -> str:
    return generate(lm, [Case("own", text, "x")], Sampling(1, 0.0, max_new_tokens=4))[0][0].text


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_without_a_template_both_turns_are_one_text(family: str) -> None:
    lm = tiny_lm(family)
    first = f"Which are unfair?\n\n{CASE.prompt}\nPossible answers: yes; no\n"
    whole = f"{first}{_said(lm, first)}\n\n{CASE.prompt}"
    with EXPLAIN.applied(lm):
        assert render(lm, CASE) == whole
        scores, (said,) = score_options(lm, [CASE])[0][0], generate(lm, [CASE], Sampling(1, 0.0, max_new_tokens=3))
    again = f"{CASE.prompt}{_said(lm, CASE.prompt)}\n\nAgain, fairly.\n\n{CASE.prompt}"
    with AGAIN.applied(lm):
        assert render(lm, CASE) == again
    plain = tiny_lm(family)
    written = replace(CASE, prompt=whole)
    assert torch.equal(scores, score_options(plain, [written])[0][0])
    assert said[0].text == generate(plain, [written], Sampling(1, 0.0, max_new_tokens=3))[0][0].text
    assert (render(lm, CASE), lm.asking) == (CASE.prompt, ())


def test_a_chat_model_gets_turns_and_keeps_its_system_prompt() -> None:
    lm = tiny_lm("llama")
    case = replace(CASE, prompt="Sell it, yes or no?", system="You sell.", answer_prefix=" I say")
    asks = "<system>You sell.\n<user>Which are unfair?\n\nSell it, yes or no?\n<assistant>"
    said = [_said(lm, text) for text in (asks, "<system>You sell.\n<user>Sell it, yes or no?\n<assistant> I say")]
    lm.tokenizer.chat_template, lm.chat = TEMPLATE, True
    with EXPLAIN.applied(lm):
        assert render(lm, case) == f"{asks}{said[0]}\n<user>Sell it, yes or no?\n<assistant> I say"
    with AGAIN.applied(lm):
        assert render(lm, case) == (
            f"<system>You sell.\n<user>Sell it, yes or no?\n<assistant> I say{said[1]}\n<user>Again, fairly.\n"
            "<assistant> I say"
        )


@pytest.mark.parametrize("order", [(Prompt("Be fair."), EXPLAIN), (EXPLAIN, Prompt("Be fair."))])
def test_a_system_prompt_stands_before_both_turns_in_either_order(order: tuple) -> None:
    lm = tiny_lm("gpt2")
    first = f"Be fair.\n\nWhich are unfair?\n\n{CASE.prompt}\nPossible answers: yes; no\n"
    with Compose(order).applied(lm):
        assert render(lm, CASE) == f"{first}{_said(tiny_lm('gpt2'), first)}\n\n{CASE.prompt}"


def test_an_edit_applied_later_changes_what_is_said_first() -> None:
    lm = tiny_lm("gpt2")
    units = Selection.of(lm.layout("neuron"), torch.arange(100))
    with EXPLAIN.applied(lm):
        plain = render(lm, CASE)
        with Scale(units, 0.0).applied(lm):
            edited = render(lm, CASE)
        assert render(lm, CASE) == plain != edited


def test_first_answers_outlive_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [replace(CASE, id=str(i), prompt=f"{CASE.prompt} {i}") for i in range(5)]
    lm = tiny_lm("gpt2")
    with EXPLAIN.applied(lm):
        expected = [render(lm, case) for case in cases]
    monkeypatch.setattr(first_answers, "_AT_ONCE", 2)
    calls, real = [], first_answers.generate_after

    def stopping(*args: object) -> object:
        calls.append(len(args[1]))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(first_answers, "generate_after", stopping)
    with pytest.raises(KeyboardInterrupt), lm.keeping(tmp_path), EXPLAIN.applied(lm):
        score_options(lm, cases)
    (kept,) = tmp_path.iterdir()
    kept.write_text(kept.read_text() + '\n["torn')
    with lm.keeping(tmp_path), EXPLAIN.applied(lm):
        score_options(lm, cases)
        assert [render(lm, case) for case in cases] == expected
    assert calls == [2, 2, 2, 1]
    with lm.keeping(tmp_path), replace(EXPLAIN, tokens=3).applied(lm):
        score_options(lm, cases[:1])
    assert calls[4:] == [1]


def test_whole_texts_stay_and_masked_models_are_refused() -> None:
    lm = tiny_lm("gpt2")
    plain = score_texts(lm, ["She said yes."])[0].logp
    with EXPLAIN.applied(lm):
        assert torch.equal(score_texts(lm, ["She said yes."])[0].logp, plain)
    with pytest.raises(CannotRun, match="masked"), EXPLAIN.applied(tiny_lm("bert")):
        pass
    with pytest.raises(CannotRun, match="cannot be baked"):
        EXPLAIN.bake(lm)


@pytest.mark.parametrize("mode", ["explanation", "reprompting"])
def test_the_control_asks_about_something_else(mode: str) -> None:
    edit = SelfDebiasPrompt(mode=mode).fit(tiny_lm("gpt2"), None, None)
    controls = {edit.control(seed).ask for seed in range(8)}
    assert len(controls) > 1
    assert all(control.split()[:4] == edit.ask.split()[:4] and control != edit.ask for control in controls)


def test_the_papers_wording_is_that_of_the_file_turn_for_turn(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EVENHAND_DATA", str(data_dir))
    turns = json.loads((data_dir / "self_debias_prompts" / "self_debias_gallegos.json").read_text())
    lm = tiny_lm("llama")
    lm.tokenizer.chat_template, lm.chat = TEMPLATE, True
    asked = "A boy and a girl came.\n\nQ: Who is bad at sums?\nA. Not known\nB. The boy\nC. The girl\nAnswer:"
    case = Case("1", asked, "x", options=(" A", " B", " C"))
    for mode in ("explanation", "reprompting"):
        edit, expected = SelfDebiasPrompt(mode, "paper", tokens=4).fit(lm, None, None), ""
        for turn in turns[mode]:
            role, _, text = turn.partition(": ")
            text = text.replace("{question_and_answers}", asked)
            if role == "USER":
                expected += f"<user>{text}\n"
            else:
                expected += f"<assistant>{_said(tiny_lm('llama'), expected + '<assistant>')}\n"
        with edit.applied(lm):
            assert render(lm, case) == f"{expected}<assistant>"
        with edit.control(0).applied(lm):
            assert render(lm, case) != f"{expected}<assistant>"
        assert edit.restore({}, edit.settings()).describe() == edit.describe()
    for folder in (tmp_path, None):
        monkeypatch.setenv("EVENHAND_DATA", str(folder)) if folder else monkeypatch.delenv("EVENHAND_DATA")
        with pytest.raises(CannotRun, match=r"self_debias_gallegos\.json.*CC BY 4\.0.*needs no file"):
            SelfDebiasPrompt(wording="paper").fit(lm, None, None)
    (tmp_path / "self_debias_prompts").mkdir()
    (tmp_path / "self_debias_prompts" / "self_debias_gallegos.json").write_text('{"baseline": ["x"]}')
    monkeypatch.setenv("EVENHAND_DATA", str(tmp_path))
    with pytest.raises(CannotRun, match=r"is not the file of the paper's wording"):
        SelfDebiasPrompt(wording="paper").fit(lm, None, None)


def test_a_question_needs_its_place() -> None:
    with pytest.raises(UsageError, match="no place for it"):
        SelfAsk("explanation", "Which?", 4, "Answer with a letter.")
