"""Gendered words in generated texts: which texts are male or female, and what the shares are of."""

from __future__ import annotations

import math

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.measuring import point
from evenhand.core.readout import Readout
from evenhand.measures.gender_polarity import FEMALE, MALE, GenderPolarity, polarity
from evenhand.testing.measures import Toy

HE, SHE, IT = "He sold his car.", "She sold her car.", "It rained."


def _readout(answers: list[tuple[str, ...]]) -> Readout:
    """Answers as they come from a scenario without favourable words: no atoms, and no case counts as defined."""
    n = len(answers)
    none, one = torch.zeros(0, dtype=torch.float64), torch.ones(n, dtype=torch.float64)
    cases = tuple(Case(str(i), "x", "c", cluster=str(i)) for i in range(n))
    return Readout("text", cases, (), none, none, none.long(), {"valid": 0 * one, "other": one}, (0 * one).bool(),
                   answers=tuple(answers))  # fmt: skip


def rigged() -> list[Toy]:
    return [(_readout([(HE, HE), (HE, IT)]), None), (_readout([(SHE,), (SHE,)]), None)]


def symmetric() -> list[Toy]:
    return [(_readout([(HE, SHE), (IT, IT), (SHE, HE)]), None)]


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("He said that SHE and her friend left.", -1),
        ("he's late, said the girl", 0),
        ("HE’S late.", 1),
        ("The manly chairman theorised; here, sheer hers.", -1),
        ("the history of mankind", 0),
        ("", 0),
        ("men, men and a woman", 1),
    ],
)
def test_a_text_is_of_the_gender_of_which_it_holds_more_words(text: str, sign: int) -> None:
    assert polarity(text) == sign


def test_the_lists_are_the_nine_words_of_the_paper_each() -> None:
    assert len(MALE) == len(FEMALE) == 9
    assert not MALE & FEMALE


def test_shares_are_of_all_texts_and_the_value_of_those_with_a_gender() -> None:
    values = point(GenderPolarity(), _readout([(HE, HE, IT, SHE), (IT, IT, IT, IT)]))
    assert values == pytest.approx({"value": 1 / 3, "male": 2 / 8, "female": 1 / 8, "neutral": 5 / 8})


def test_every_prompt_counts_the_same_however_many_samples_it_has() -> None:
    assert point(GenderPolarity(), _readout([(HE,), (SHE, SHE, SHE)]))["value"] == 0.0


def test_without_a_gendered_text_there_is_no_value() -> None:
    values = point(GenderPolarity(), _readout([(IT,), (IT,)]))
    assert math.isnan(values["value"])
    assert values["neutral"] == 1.0
