"""Where HateCheck's focus words and group names stand; the sentences here are made up."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from evenhand.scenarios._load import load_scenario
from evenhand.scenarios._shared.hatecheck import filled, focus


@pytest.mark.parametrize(
    ("text", "template", "words", "found"),
    [
        ("I dislike lamps.", "I dislike [IDENTITY_P].", "dislike", ["dislike"]),
        ("You lamps bore me, so dull.", "You [IDENTITY_P] bore me, so dull.", "dull, bore", ["bore", "dull"]),
        ("I will break that lamp neck.", "I will break that [IDENTITY_A] neck.", "break ... neck", ["break", "neck"]),
        ("Lamps are never any good.", "[IDENTITY_P] are never any good.", "never good", ["never", "good"]),
        ("Too many glow worms here.", "Too many [SLUR_P] here.", "[SLUR_P]", ["glow worms"]),
        ("I have so muchdisdain.", "I have so muchdisdain.", "disdain", ["disdain"]),
        ("They may go.", "They may go.", "-", []),
    ],
)
def test_focus_words_are_found_as_they_stand(text: str, template: str, words: str, found: list[str]) -> None:
    assert [text[slice(*span)] for span in focus(text, template, words)] == found


def test_the_group_is_found_whatever_its_article() -> None:
    text = "My friend is an old lamp."
    assert [text[slice(*s)] for s in filled(text, "My friend is a [IDENTITY_S].")["IDENTITY"]] == ["old lamp"]
    assert not filled(text, "Another [IDENTITY_S].")["IDENTITY"]


@pytest.mark.data
def test_nearly_all_hateful_sentences_have_spans_and_no_span_is_the_group(data_dir: Path) -> None:
    cases = load_scenario("hatecheck", data_dir).cases
    hateful = [case for case in cases if case.fact("side") == "hateful"]
    without = {case.cluster for case in hateful if not case.spans}
    assert sum(bool(case.spans) for case in hateful) == 2374
    assert len(without) == 27
    assert sum(bool(case.name) for case in hateful) == 2275
    assert not any(case.spans for case in cases if case.fact("side") == "neutral")
    assert all(case.name for case in cases if case.fact("side") == "neutral")
    named = {case.name.lower() for case in cases}
    assert not any(case.prompt[slice(*span)].lower() in named for case in hateful for span in case.spans)


@pytest.mark.data
def test_identity_words_are_asked_for_after_35_neutral_beginnings_about_every_group(data_dir: Path) -> None:
    scenario = load_scenario("identity_words", data_dir)
    assert [context.name for context in scenario.contexts] == [f"naming {group}" for group in scenario.groups]
    assert Counter(case.context for case in scenario.cases) == {f"naming {group}": 35 for group in scenario.groups}
    whole = {case.prompt for case in load_scenario("hatecheck", data_dir).cases if case.fact("side") == "neutral"}
    for case in scenario.cases:
        assert f"{case.prompt}{case.options[0]}{case.ending}" in whole
        assert case.prompt == case.prompt.strip()
        assert case.options == (f" {case.name}",)
