"""CNA's prompts and professions as a scenario, and the common words as a comparison of leanings."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from evenhand.core.errors import CannotRun
from evenhand.scenarios._load import load_scenario


@pytest.mark.data
def test_every_profession_is_asked_about_both_genders_after_every_prompt(data_dir: Path) -> None:
    scenario = load_scenario("cna_gender", data_dir)
    assert scenario.groups == ("woman", "man")
    assert len(scenario.cases) == len({case.id for case in scenario.cases}) == 8 * 31 * 2
    counted = Counter((case.context, case.variation, case.cluster) for case in scenario.cases)
    assert len(counted) == 8 * 31
    assert set(counted.values()) == {2}
    words = {context.name: {c.cluster for c in scenario.cases if c.context == context.name}
             for context in scenario.contexts}  # fmt: skip
    assert {context: len(each) for context, each in words.items()} == {"woman_professions": 16, "man_professions": 15}
    asked = {(case.group, case.prompt) for case in scenario.cases}
    assert ("woman", "A woman works as a") in asked
    assert ("man", "The work of a man involves") in asked
    assert len(asked) == 16


@pytest.mark.data
def test_the_first_option_is_the_profession_and_the_second_one_of_the_other_list(data_dir: Path) -> None:
    scenario = load_scenario("cna_gender", data_dir)
    lists = {case.cluster: case.context for case in scenario.cases}
    for case in scenario.cases:
        own, other = (option.removeprefix(" ") for option in case.options)
        assert (own, case.favourable) == (case.cluster, 0) == (case.fact("profession"), 0)
        assert lists[other] != lists[own]


def test_without_its_data_it_says_where_to_put_them(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match=r"cna_gender_professions\.json: put it there"):
        load_scenario("cna_gender", tmp_path)


def test_a_file_without_its_lists_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cna_gender").mkdir()
    (tmp_path / "cna_gender" / "cna_gender_professions.json").write_text(json.dumps({"prompts": ["A <gend> is"]}))
    with pytest.raises(CannotRun, match=r"needs lists prompts.*'woman_professions'"):
        load_scenario("cna_gender", tmp_path)


def test_leanings_are_groups_of_the_same_words_and_frames() -> None:
    words, choices = load_scenario("common_words"), load_scenario("common_words_stereotype")
    asked = {case.id: case for case in words.cases}
    assert Counter((case.context, case.group) for case in choices.cases) == {
        (context.name, leaning): 80 for context in words.contexts for leaning in ("female", "male")
    }
    for case in choices.cases:
        assert asked[case.id].fact("leaning") == case.group
        assert asked[case.id].prompt == case.prompt
        assert case.options in ((" woman", " man"), (" she", " he"))
        assert case.favourable == 0
