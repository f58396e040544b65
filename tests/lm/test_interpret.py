"""Patched questions against a loop over whole models; places of words; what is refused."""

from __future__ import annotations

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun, UsageError
from evenhand.lm.states.interpret import Question, log_probabilities, question, written
from evenhand.lm.states.places import place_of
from evenhand.lm.states.residual import capture
from evenhand.testing.tiny import tiny_lm
from oracles import patching

ASKED = "She said a word. Is a a lamp or a car?"
FORMS = ((" lamp", " lamps"), (" car", " dollars", " car"))
SINGLE = ((" and", " she"), (" a",))


def _case(text: str, answer: str = "") -> Case:
    return Case("case", text, "reading", answer_prefix=answer)


def _asked(lm, forms=FORMS) -> Question:
    return question(lm, _case(ASKED, " It is the"), "a", 1, forms)


@pytest.mark.parametrize("forms", [FORMS, SINGLE], ids=["several tokens", "one token"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neo", "gemma2", "opt"])
def test_a_batch_of_patched_questions_equals_whole_models_one_by_one(family: str, forms) -> None:
    lm = tiny_lm(family)
    lm.budget = 100
    asked = _asked(lm, forms)
    assert {len(form) == 1 for few in asked.counted for form in few} == {forms is SINGLE}
    (first, second), place = asked.counted, asked.place
    assert place.matched == " a"
    source = place_of(lm, _case("Maria bought a yellow lamp."), "yellow")
    taken = capture(lm, [source.ids], [[source.position]])[0][0]
    assert torch.allclose(taken, patching.states(lm, source.ids, source.position), atol=1e-5)
    for target in (0, len(taken) - 1):
        found = log_probabilities(lm, asked, target, taken)
        slow = [[patching.answer(lm, place.ids, forms, (target, place.position, state)) for forms in (first, second)]
                for state in taken]  # fmt: skip
        assert torch.allclose(found.double(), torch.tensor(slow, dtype=torch.float64), atol=2e-5)
    plain = log_probabilities(lm, asked, 0, None)
    assert plain.tolist() == [
        pytest.approx([patching.answer(lm, place.ids, f, None) for f in (first, second)], abs=2e-5)
    ]


@pytest.mark.parametrize("forms", [FORMS, SINGLE], ids=["several tokens", "one token"])
def test_a_placeholder_of_several_tokens_is_overwritten_at_each(forms) -> None:
    lm = tiny_lm("llama")
    asked = question(lm, _case(ASKED, " It is the"), "lamp", -1, forms)
    places = list(asked.place.positions)
    assert len(places) == 3
    states = torch.randn(2, 32, generator=torch.Generator().manual_seed(0)) * 3
    found = log_probabilities(lm, asked, 1, states)
    for state, row in zip(states, found, strict=True):
        slow = [patching.answer(lm, asked.place.ids, few, (1, places, state)) for few in asked.counted]
        assert row.tolist() == pytest.approx(slow, abs=2e-5)
    said = written(lm, asked.place, 1, states, 4)
    assert said[0] == lm.tokenizer.decode(patching.greedy(lm, asked.place.ids, 4, (1, places, states[0])))


def test_its_own_state_changes_nothing_and_a_random_one_does() -> None:
    lm = tiny_lm("llama")
    asked = _asked(lm)
    own = capture(lm, [asked.place.ids], [[asked.place.position]])[0][0]
    plain = log_probabilities(lm, asked, 1, None)
    assert torch.allclose(log_probabilities(lm, asked, 1, own[1:2]), plain, atol=1e-5)
    assert not torch.allclose(log_probabilities(lm, asked, 1, -own[1:2]), plain, atol=1e-2)


def test_free_text_equals_reading_the_whole_text_again_for_every_token() -> None:
    lm = tiny_lm("gpt2")
    asked = place_of(lm, _case("The word a means"), "a")
    own = capture(lm, [asked.ids], [[asked.position]], [0])[0][0]
    states = torch.cat([torch.randn(3, 32, generator=torch.Generator().manual_seed(0)) * 3, own])
    found = written(lm, asked, 0, states, 5)
    slow = [patching.greedy(lm, asked.ids, 5, (0, asked.position, state)) for state in states]
    ends = lm.tokenizer.eos_token_id
    kept = [tokens[: tokens.index(ends)] if ends in tokens else tokens for tokens in slow]
    assert found == [lm.tokenizer.decode(tokens) for tokens in kept]
    assert len(set(found)) > 1
    assert written(lm, asked, 0, None, 5) == found[-1:]


def test_forms_that_hold_another_or_change_the_question_are_not_counted() -> None:
    lm = tiny_lm("llama")
    asked = question(lm, _case(ASKED, " It is a la"), "a", 1, ((" lamp", " lamps", "m"), (" car",)))
    assert [bool(form.left_out) for form in asked.forms[0]] == [False, True, True]
    assert "contained" in asked.forms[0][1].left_out
    assert "change the last tokens" in asked.forms[0][2].left_out
    with pytest.raises(UsageError, match="cannot be told apart"):
        question(lm, _case(ASKED), "a", 0, ((" lamp",), (" lamps",)))
    with pytest.raises(UsageError, match="none of 'm' can follow"):
        question(lm, _case(ASKED, " It is a la"), "a", 1, (("m",), (" car",)))


def test_words_are_found_by_text_and_occurrence() -> None:
    lm = tiny_lm("gpt2")
    text = "a lamp, a lamp and lamps"
    first, last = (place_of(lm, _case(text), "lamp", n) for n in (0, -1))
    assert (first.matched, last.matched) == (" lamp", " lamp")
    assert 0 < first.position < last.position
    for word, occurrence, said in (
        ("car", 0, "stands nowhere"),
        ("lam", 0, "stands nowhere"),
        ("lamp", 2, "stands 2 times"),
    ):
        with pytest.raises(UsageError, match=said):
            place_of(lm, _case(text), word, occurrence)


def test_words_of_a_chat_template_and_a_system_prompt_are_not_counted() -> None:
    lm = tiny_lm("gpt2")
    lm.tokenizer.chat_template = (
        "The answer to something: {% for m in messages %}[{{ m.content | trim }}] {% endfor %}something is"
    )
    lm.chat = True
    case = Case("a", " something and something\n", "x", answer_prefix=" something", system="Say something.")
    found = [place_of(lm, case, "something", i) for i in (0, 1, -1)]
    text = found[0].text
    ends = [len(lm.tokenizer.decode(each.ids[: each.position + 1])) for each in found]
    assert [text[:end].count("something") for end in ends] == [3, 4, 4]
    with pytest.raises(UsageError, match="stands 2 times in 'something and something'"):
        place_of(lm, case, "something", 2)
    lm.tokenizer.chat_template = "{% for m in messages %}{{ m.content | upper }}{% endfor %}"
    with pytest.raises(CannotRun, match="writes ' something and something"):
        place_of(lm, Case("a", " something and something\n", "x"), "something")


@pytest.mark.parametrize(("family", "said"), [("bert", "a masked model"), ("t5", "an encoder–decoder model")])
def test_only_causal_models_are_asked(family: str, said: str) -> None:
    with pytest.raises(CannotRun, match=said):
        _asked(tiny_lm(family))


def test_a_layer_that_is_not_there_is_refused() -> None:
    lm = tiny_lm("llama")
    with pytest.raises(UsageError, match="no layer 3"):
        log_probabilities(lm, _asked(lm), 3, torch.zeros(1, 32))
