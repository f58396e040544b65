"""Sequences that begin alike share rows: nothing is forwarded twice, and scores are those of plain forward passes."""

from __future__ import annotations

import pytest
import torch

from evenhand.core.case import Case
from evenhand.lm.batches.packed import pack
from evenhand.lm.model import LM
from evenhand.lm.scoring.forward import score_parts
from evenhand.lm.tokens import Continuations
from evenhand.testing.tiny import CAUSAL_NAMES, SENTENCES, tiny_lm
from oracles import plain_scoring as oracle

SHOTS = " ".join(SENTENCES[:3])
QUESTIONS = ["Who sold the car?", "Who sold the lamp?", "Who waited?", "Did she wait for the bus?"]
ANSWERS = (" Jamal", " Hunter", " Jamal and Hunter", " she")


def _cases() -> list[Case]:
    few = [Case(str(i), f"{SHOTS} {question}", "c", options=ANSWERS) for i, question in enumerate(QUESTIONS)]
    return [*few, Case("other", "The answer is", "c", options=(" yes", " no"))]


def _forwarded(lm: LM, cases: list[Case]) -> int:
    tokens = 0

    def count(module: object, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        nonlocal tokens
        tokens += kwargs["input_ids"].numel()

    hook = lm.model.register_forward_pre_hook(count, with_kwargs=True)
    score_parts(lm, cases)
    hook.remove()
    return tokens


@pytest.mark.parametrize("name", CAUSAL_NAMES)
def test_questions_after_the_same_examples_equal_one_plain_forward_each(name: str) -> None:
    lm = tiny_lm(name)
    cases = _cases()
    (scores,) = score_parts(lm, cases)
    for case, found in zip(cases, scores, strict=True):
        expected = [oracle.option(lm, case.prompt, option) for option in case.options]
        assert found.logp.tolist() == pytest.approx(expected, abs=2e-5)


def test_what_begins_alike_is_forwarded_once() -> None:
    lm = tiny_lm("llama")
    cases = _cases()[:-1]
    alone = sum(_forwarded(lm, [case]) for case in cases)
    together = _forwarded(lm, cases)
    shots = len(lm.tokenizer(SHOTS)["input_ids"])
    assert together <= alone - 3 * (shots - 1)
    assert _forwarded(lm, cases * 3) == together


def test_rows_are_trees_written_depth_first() -> None:
    packed = pack(
        [Continuations((1, 2, 3), ((4, 5), (4, 6, 7)), (0, 0)), Continuations((1, 2), ((9, 8),), (-1,), True)]
    )
    (row,) = packed.rows
    assert row.tokens == [1, 2, 9, 3, 4, 6]
    assert row.depth == [0, 1, 2, 2, 3, 4]
    assert [min(end, 6) for end in row.ends] == [6, 6, 3, 6, 6, 6]
    assert row.branched
    assert [len(targets) for answers in packed.places for _, targets in answers] == [2, 3, 3]
    assert set(row.wanted) == {(0, 2), (1, 9), (2, 8), (3, 4), (4, 5), (4, 6), (5, 7)}


def test_sequences_that_share_little_keep_rows_of_their_own() -> None:
    apart = [Continuations((1, i, i, i, i, i, i, i), ((20 + i,),), (0,)) for i in range(2, 6)]
    assert len(pack(apart).rows) == 4
    assert not any(row.branched for row in pack(apart).rows)
    assert len(pack(apart * 2, alike=False).rows) == 4
    alike = [Continuations((1, 2, 3, 4, 5, i), ((9,),), (0,)) for i in range(4)]
    assert len(pack(alike, alike=False).rows) == 4
    assert len(pack(alike).rows) == 1


def test_a_row_does_not_grow_without_end() -> None:
    start = tuple(range(100))
    many = [Continuations((*start, *(1000 + i for _ in range(50))), ((7,),), (0,)) for i in range(40)]
    rows = pack(many).rows
    assert len(rows) > 1
    assert max(len(row.tokens) for row in rows) <= 512
