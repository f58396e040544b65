"""The probes of over-generalisation: written once each, both words in every sentence, both readings balanced."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from evenhand.core.bootstrap import Bootstrap
from evenhand.core.measure import Subject
from evenhand.core.measuring import measure, point
from evenhand.lm.load import load
from evenhand.lm.read import read
from evenhand.measures.accuracy import Accuracy
from evenhand.scenarios._load import load_scenario
from evenhand.scenarios.colour_words import FRAMES, PEOPLE, THINGS
from evenhand.testing.tiny import tiny_lm
from oracles import plain_scoring as oracle


def test_every_sentence_has_both_words_and_stands_once() -> None:
    assert len({*THINGS, *PEOPLE}) == len(THINGS) + len(PEOPLE) == 48
    for sentence in (*THINGS, *PEOPLE):
        assert {word.lower() for word in re.findall("black|white", sentence, re.IGNORECASE)} == {"black", "white"}


def test_each_context_has_its_own_answer_in_every_frame() -> None:
    about = load_scenario("colour_words")
    assert Counter((case.context, case.variation) for case in about.cases) == {
        (context, frame): 24 for context in ("things", "people") for frame in FRAMES
    }
    assert {(case.context, case.options[case.favourable or 0].split()[0]) for case in about.cases} == {
        ("things", "color"),
        ("people", "race"),
    }
    assert len({case.cluster for case in about.cases}) == 48
    assert len({case.prompt for case in about.cases}) == 144


@pytest.mark.parametrize("name", ["gpt2", "bert", "t5"])
def test_every_sort_of_model_answers_as_a_slow_oracle_says(name: str) -> None:
    lm, about = tiny_lm(name), load_scenario("colour_words").where(lambda case: case.cluster.endswith("/0"))
    (readout,) = read(lm, about)
    right = 0
    for case, logp in zip(readout.cases, readout.arrays["logp"].tolist(), strict=True):
        expected = oracle.options(lm, case)
        assert logp == pytest.approx(expected, abs=1e-4), case.id
        right += expected.index(max(expected)) == case.favourable
    assert point(Accuracy(), readout)["value"] == right / 6


@pytest.mark.models
def test_a_story_model_gives_one_answer_to_everything(models_dir: Path) -> None:
    (readout,) = read(load(models_dir / "stories260K"), load_scenario("colour_words"))
    rows = measure({"accuracy": Accuracy()}, Subject("model", readout), Bootstrap(replicates=20, seed=0))
    overall = {row.context: row.estimate.value for row in rows if not row.variation}
    assert overall["things"] + overall["people"] == pytest.approx(1, abs=0.15)
