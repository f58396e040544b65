"""LAMBADA: rows, defects, and where the last word begins."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import pytest

from evenhand.core.errors import CannotRun
from evenhand.core.measuring import point
from evenhand.lm.read import read
from evenhand.measures.last_word_accuracy import LastWordAccuracy
from evenhand.measures.last_word_perplexity import LastWordPerplexity
from evenhand.scenarios._load import load_scenario
from evenhand.testing.tiny import tiny_lm
from oracles import plain_scoring as oracle


@pytest.mark.data
def test_there_are_5153_passages_two_of_them_twice_and_seven_flawed(data_dir: Path) -> None:
    found = load_scenario("lambada", data_dir)
    assert len(found.cases) == len({case.id for case in found.cases}) == 5153
    assert Counter(Counter(case.cluster for case in found.cases).values()) == {1: 5149, 2: 2}
    assert sum(bool(case.flaw) for case in found.cases) == 7
    for case in found.cases:
        (word,) = case.options
        assert word.startswith(" ")
        assert " " not in word[1:]
        assert not case.prompt[-1].isspace()
        assert bool(case.flaw) == (word.split() != [word[1:]])


def made(folder: Path, *texts: str) -> Path:
    (folder / "lambada").mkdir()
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (folder / "lambada" / "lambada_test.jsonl").write_text(lines)
    return folder


def test_prompt_and_word_make_up_the_passage(tmp_path: Path) -> None:
    texts = ("Ann met Bob.\n\nShe waved at Bob", "It rained, and he said no", "He sang and\nsang  of\nTroy")
    cases = load_scenario("lambada", made(tmp_path, *texts, texts[1])).cases
    assert tuple(case.prompt + case.options[0] for case in cases) == (*texts, texts[1])
    assert [case.options[0] for case in cases] == [" Bob", " no", " of\nTroy", " no"]
    assert [case.cluster for case in cases] == ["0", "1", "2", "1"]
    assert [bool(case.flaw) for case in cases] == [False, False, True, False]


@pytest.mark.parametrize("text", ["one", "ends with a space ", ""])
def test_a_passage_without_last_word_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="passage 0: it has no last word"):
        load_scenario("lambada", made(tmp_path, text))


def test_it_is_scored_by_models_that_write_and_half_of_it_by_masked_ones(tmp_path: Path) -> None:
    about = load_scenario("lambada", made(tmp_path, "Ann met Bob. She waved at Bob", "It rained, and he said no"))
    for name in ("gpt2", "t5", "bert"):
        lm = tiny_lm(name)
        (readout,) = read(lm, about)
        accuracy, perplexity = (point(each, readout)["value"] for each in (LastWordAccuracy(), LastWordPerplexity()))
        words = [oracle.options(lm, case)[0] for case in about.cases]
        assert perplexity == pytest.approx(math.exp(-sum(words) / len(words)), rel=1e-4)
        assert accuracy == 0.0 if name != "bert" else math.isnan(accuracy)  # no random model spells a whole word
