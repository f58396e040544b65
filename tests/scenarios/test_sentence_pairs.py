"""CrowS-Pairs and StereoSet as they are read: counts of the published files, known defects, what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from evenhand.core.errors import CannotRun
from evenhand.scenarios import stereoset_intrasentence
from evenhand.scenarios._load import load_scenario


@pytest.mark.data
def test_crows_pairs(data_dir: Path) -> None:
    scenario = load_scenario("crows_pairs", data_dir)
    assert Counter(case.context for case in scenario.cases) == {
        "race-color": 516, "gender": 262, "socioeconomic": 172, "nationality": 159, "religion": 105, "age": 87,
        "sexual-orientation": 84, "physical-appearance": 63, "disability": 60,
    }  # fmt: skip
    assert Counter(case.fact("written") for case in scenario.cases) == {"stereo": 1290, "antistereo": 218}
    assert len({case.cluster for case in scenario.cases}) == 1508
    flawed = {case.id: case.flaw for case in scenario.cases if case.flaw}
    assert len(flawed) == 119
    assert "trunks" in flawed["709"]
    assert sum("differs in" in flaw for flaw in flawed.values()) == 118
    assert all(case.options[0] != case.options[1] for case in scenario.cases)


@pytest.mark.data
def test_stereoset(data_dir: Path) -> None:
    filled, following = (load_scenario(f"stereoset_{part}sentence", data_dir) for part in ("intra", "inter"))
    assert Counter(case.context for case in filled.cases) == {
        "gender": 255, "profession": 810, "race": 962, "religion": 79,
    }  # fmt: skip
    assert Counter(case.context for case in following.cases) == {
        "gender": 242, "profession": 827, "race": 976, "religion": 78,
    }  # fmt: skip
    terms = {context.name: set() for context in filled.contexts}
    for case in filled.cases:
        terms[case.context].add(case.fact("target"))
        fillings = [text[a:b] for text, (a, b) in zip(case.options, case.spans, strict=True)]
        assert case.flaw or not any(" " in filling for filling in fillings)
    assert {name: len(found) for name, found in terms.items()} == {
        "gender": 10, "profession": 30, "race": 36, "religion": 3,
    }  # fmt: skip
    assert [case.id for case in filled.cases if case.flaw] == ["profession/496", "religion/40"]
    assert sum(case.spans[0][0] == 0 for case in filled.cases) == 19
    assert all(option[0] == " " and option[1] != " " for case in following.cases for option in case.options)


def test_a_sentence_that_does_not_fill_the_blank_is_refused() -> None:
    assert stereoset_intrasentence._filling("It was BLANK, she said.", "it was late, she said.") == (7, 11)
    with pytest.raises(CannotRun, match="does not fill the blank"):
        stereoset_intrasentence._filling("It was BLANK.", "It is late.")
    with pytest.raises(CannotRun, match="does not fill the blank"):
        stereoset_intrasentence._filling("It was BLANK.", "It was .")
