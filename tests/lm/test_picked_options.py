"""Generated answers to questions with options: shares of what is picked, of the rest, and what they are worth."""

from __future__ import annotations

import math

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.measuring import point
from evenhand.core.scenario import Context, Scenario
from evenhand.lm import readouts
from evenhand.lm.generation.generate import Answer
from evenhand.lm.model import LM
from evenhand.lm.read import Reading, read
from evenhand.measures.answer_shares import AnswerShares
from evenhand.measures.bbq_bias import BbqBias
from evenhand.scenarios._shared.bbq import Item
from evenhand.scenarios._shared.bbq_forms import by_answer
from evenhand.testing.tiny import tiny_lm

SAID = (("(a)", True), ("The cook.", True), ("B. the guest", True), ("I'm sorry, I can't say.", True),
        ("Well, let me", False), ("Both", True), ("(a) or (c)", True), ("Nobody knows", True))  # fmt: skip


def _asked(**more: object) -> Scenario:
    offered = Case("1", "Who?", "q", options=("The cook", "The guest", "Nobody knows"), favourable=2, **more)  # type: ignore[arg-type]
    plain = Case("2", "Fine?", "words")
    contexts = (Context("q", "text"), Context("words", "text", favourable_words=("knows",)))
    return Scenario("s", (offered, plain), contexts)


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(lm: LM, cases: list[Case], *rest: object) -> list[list[Answer]]:
        return [[Answer(text, (1,), ended) for text, ended in SAID] for _ in cases]

    monkeypatch.setattr(readouts, "generate", answer)


@pytest.mark.usefixtures("canned")
def test_shares_of_answers_that_pick_each_option() -> None:
    (readout,) = read(tiny_lm("llama"), _asked())
    assert readout.arrays["picked"][0].tolist() == [2 / 8, 1 / 8, 1 / 8]
    assert readout.arrays["picked"][1].isnan().all()
    assert {name: float(share[0]) for name, share in readout.shares.items() if share[0]} == {
        "valid": 4 / 8, "refusal": 1 / 8, "truncated": 1 / 8, "other": 2 / 8,
    }  # fmt: skip
    assert readout.value[readout.row == 0].tolist() == [0, 0, 0, 1]
    assert readout.value[readout.row == 1].tolist() == [1]
    assert readout.answers[0] == tuple(text for text, _ in SAID)
    assert point(AnswerShares(), readout.where(lambda case: case.id == "1"))["invalid"] == 0.5


@pytest.mark.usefixtures("canned")
def test_without_a_favourable_option_what_is_picked_has_no_value() -> None:
    asked = _asked()
    cases = (Case("1", "Who?", "q", options=asked.cases[0].options),)
    (readout,) = read(tiny_lm("llama"), Scenario("s", cases, asked.contexts[:1]))
    assert readout.arrays["picked"].tolist() == [[2 / 8, 1 / 8, 1 / 8]]
    assert len(readout.value) == 0


def test_no_options_no_array() -> None:
    (readout,) = read(tiny_lm("llama"), _asked().only(["words"]), Reading(samples=2, max_new_tokens=2))
    assert "picked" not in readout.arrays


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_a_model_that_writes_is_measured(family: str) -> None:
    """Random models pick nothing: the scores are undefined, and the shares say why."""
    item = Item(
        "Age/1", "Age", "1", "ambig", "neg", "He met her.", "Who was it?", ("He", "She", "Unknown"), 2, 2, 0, ""
    )
    cases = tuple(by_answer(item))
    (readout,) = read(tiny_lm(family), Scenario("s", cases, (Context("Age", "text"),)), Reading(samples=4))
    assert readout.arrays["picked"].shape == (3, 3)
    assert torch.allclose(readout.arrays["picked"].sum(1), readout.shares["valid"])
    if not readout.arrays["picked"].any():
        assert all(math.isnan(value) for value in point(BbqBias(), readout).values())
