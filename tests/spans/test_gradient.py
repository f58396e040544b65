"""Input × gradient against scaling one embedding at a time, and texts that a model cannot read as they are."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.spans import joined, words
from evenhand.lm.model import LM
from evenhand.spans.gradient import Gradient
from evenhand.testing.tiny import tiny_lm
from evenhand.train.objectives import passages
from oracles import input_gradient as oracle

TEXTS = ("The teacher sold a yellow lamp, and she said it.", "Jamal waited.", "He asked the doctor two times for it.")
NEUTRAL = ("The bus was late and late.", "A car.")
CASES = tuple(Case(str(i), text, "texts") for i, text in enumerate(TEXTS))


@pytest.fixture(scope="module")
def exact() -> LM:
    return tiny_lm("gpt2", dtype=torch.float64)


@pytest.mark.parametrize("of", ["loss", "contrast"])
def test_the_words_are_those_whose_embeddings_the_objective_depends_on_most(exact: LM, of: str) -> None:
    apart = (TEXTS, NEUTRAL) if of == "contrast" else ()
    values = [oracle.scores(exact, text, *apart) for text in TEXTS]
    for share in (0.01, 0.3, 0.5, 0.9):
        found = Gradient(of, share=share).select(exact, CASES, NEUTRAL)
        for text, value, spans in zip(TEXTS, values, found, strict=True):
            wanted = oracle.highest(exact, text, words(text), share, value)
            assert spans == joined(wanted), (text, share)


def test_a_text_longer_than_the_context_is_read_as_far_as_it_is_trained_on(exact: LM) -> None:
    lm = tiny_lm("gpt2")
    long = Case("long", "The lamps are dull and dull. " * 60, "texts")
    for of in ("loss", "contrast"):
        every, few = (Gradient(of, share=s).select(lm, [long, *CASES], NEUTRAL * 60) for s in (1.0, 0.2))
        assert every[0][-1][1] < len(long.prompt) - 29
        assert every[1:] == Gradient(of, share=1.0).select(lm, CASES, NEUTRAL)
        trained = [sum(len(line.at) for line in passage) for passage in passages(lm, [long.prompt] * 2, [few[0], None])]
        assert 0 < trained[0] < trained[1]
        assert all(passages(lm, [long.prompt] * len(few[0]), [(span,) for span in few[0]]))


@pytest.mark.parametrize("of", ["loss", "contrast"])
def test_of_a_text_without_words_nothing_is_taken(exact: LM, of: str) -> None:
    empty = tuple(Case(text, text, "texts", name="lamp") for text in ("", "…", "Lamp"))
    assert Gradient(of).select(exact, [*empty[:1], *CASES], ["", *NEUTRAL]) == [
        (),
        *Gradient(of).select(exact, CASES, NEUTRAL),
    ]
    assert Gradient(of).select(exact, empty, NEUTRAL) == [(), (), ()]


def test_texts_are_read_together_and_how_far_that_is_told(exact: LM) -> None:
    heard: list[tuple[int, int]] = []
    calls: list[int] = []
    lm = dataclasses.replace(exact, progress=lambda label, done, total: heard.append((done, total)))
    hook = lm.model.register_forward_pre_hook(lambda *given, **more: calls.append(1))
    try:
        Gradient().select(lm, CASES, ())
    finally:
        hook.remove()
    assert heard[-1] == (3, 3)
    assert len(calls) < len(CASES)
