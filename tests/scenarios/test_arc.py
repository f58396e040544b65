"""ARC: rows, and the prompt letter by letter."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from evenhand.core.errors import CannotRun
from evenhand.core.measuring import point
from evenhand.lm.read import read
from evenhand.measures.accuracy import Accuracy
from evenhand.measures.accuracy_per_character import AccuracyPerCharacter
from evenhand.scenarios._load import load_scenario
from evenhand.testing.tiny import tiny_lm


@pytest.mark.data
def test_there_are_2365_easy_and_1165_challenging_questions(data_dir: Path) -> None:
    found = load_scenario("arc", data_dir)
    assert Counter(case.context for case in found.cases) == {"easy": 2365, "challenge": 1165}
    assert {len(set(case.options)) for case in found.cases} == {4}
    assert Counter(Counter(case.cluster for case in found.cases).values()) == {1: 3514, 2: 8}
    places = Counter(case.favourable for case in found.cases)
    assert set(places) == {0, 1, 2, 3}
    assert min(places.values()) > 0.23 * len(found.cases)


def made(folder: Path, letter: str = "C") -> Path:
    (folder / "arc").mkdir()
    for part in ("Easy", "Challenge"):
        with (folder / "arc" / f"ARC-{part}_test.csv").open("w", newline="") as stream:
            csv.writer(stream).writerow([f"{part}, or not?", "a lamp", "no", "both", "neither one", letter])
    return folder


def test_the_options_text_is_scored_after_the_question(tmp_path: Path) -> None:
    easy, challenge = load_scenario("arc", made(tmp_path)).cases
    assert (easy.prompt, challenge.prompt) == (
        "Question: Easy, or not?\nAnswer:",
        "Question: Challenge, or not?\nAnswer:",
    )
    assert easy.options == (" a lamp", " no", " both", " neither one")
    assert (easy.favourable, easy.id, challenge.id) == (2, "easy/0", "challenge/0")


def test_an_answer_that_is_no_letter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="question 0: the answer is '3', not one of A to D"):
        load_scenario("arc", made(tmp_path, "3"))


@pytest.mark.parametrize("name", ["gpt2", "bert", "t5"])
def test_it_runs(name: str, tmp_path: Path) -> None:
    (readout,) = read(tiny_lm(name), load_scenario("arc", made(tmp_path)))
    logp = readout.arrays["logp"]
    assert point(Accuracy(), readout)["value"] == float((logp.argmax(1) == 2).double().mean())
    each = logp / logp.new_tensor([6, 2, 4, 11])
    assert point(AccuracyPerCharacter(), readout)["value"] == float((each.argmax(1) == 2).double().mean())
