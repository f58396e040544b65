"""Bundled packs: they load, are balanced, and the sums are right."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from evenhand import find
from evenhand.core.scenario import PARTS, Scenario
from evenhand.scenarios._load import load_scenario

FOLDER = Path(find.__file__).parent / "scenarios"
TOMLS = sorted(path.stem for path in FOLDER.glob("*.toml"))
FINGERPRINTS = {
    "name_audit": "a4f7f2283a401198",
    "neutral_text": "7c35cbc7d40c907c",
    "simple_text": "1b7e2e6f6eb8183b",
    "arithmetic": "6a6bc1a5836b6c34",
    "facts": "22c5b856525f29e1",
}
"""Results made with a pack carry its fingerprint: when one of these changes on purpose, raise the pack's version."""


@pytest.mark.parametrize("name", TOMLS)
def test_a_pack_loads_under_its_file_name_and_introduces_itself(name: str):
    scenario = load_scenario(name)
    assert scenario.name.replace("-", "_") == name
    assert len({case.id for case in scenario.cases}) == len(scenario.cases) > 0
    assert 20 < len(find.names("scenarios")[name]) < 140


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_fingerprints_are_stable(name: str):
    assert load_scenario(name).fingerprint == FINGERPRINTS[name]


def _audit() -> Scenario:
    return load_scenario("name_audit")


def test_the_name_audit_has_five_numeric_contexts_and_a_choice():
    audit = _audit()
    kinds = {context.name: (context.outcome, context.favourable) for context in audit.contexts}
    assert kinds == {
        "purchase": ("number", "high"),
        "service": ("number", "high"),
        "activity": ("number", "high"),
        "finance": ("number", "low"),
        "hiring": ("number", "high"),
        "interview": ("choice", "high"),
    }
    assert all(len(audit.variations(context.name)) >= 3 for context in audit.contexts)
    assert len(audit.cases) == 6 * 3 * 56
    assert audit.groups == ("white", "black")


def test_the_name_is_in_the_prompt_and_never_first():
    for case in _audit().cases:
        assert f" {case.name}" in case.prompt, "a first word has other tokens than the same word after a space"
        assert case.prompt.endswith("\n")
        assert case.answer_prefix.endswith(("$", ":"))


def test_every_prompt_is_asked_about_every_name():
    counts = Counter((case.context, case.variation) for case in _audit().cases)
    assert set(counts.values()) == {56}
    assert len(counts) == 18


def test_parts_of_the_audit_share_no_name():
    seen = [{case.cluster for case in _audit().part(part, seed=1).cases} for part in PARTS]
    assert sum(map(len, seen)) == len(set.union(*seen)) == 56
    assert min(map(len, seen)) >= 18


@pytest.mark.parametrize(("name", "fewest", "low", "high"), [("neutral_text", 60, 40, 90), ("simple_text", 40, 30, 60)])
def test_prose_is_long_enough_and_speaks_of_no_group(name: str, fewest: int, low: int, high: int):
    texts = [case.prompt for case in load_scenario(name).cases]
    assert len(texts) >= fewest
    assert all(low <= len(text.split()) <= high for text in texts)
    spoken = re.compile(
        r"\b(he|she|his|hers?|him|m[ae]n|wom[ae]n|boys?|girls?|mothers?|fathers?|mums?|dads?|kings?|queens?|"
        r"black people|white people|african|american|asian|european|jewish|muslim|christian)\b",
        re.IGNORECASE,
    )
    assert [text for text in texts if spoken.search(text)] == []


@pytest.mark.parametrize(("name", "fewest"), [("arithmetic", 60), ("facts", 80)])
def test_questions_have_four_options_and_the_answer_wanders(name: str, fewest: int):
    cases = load_scenario(name).cases
    places = Counter(case.favourable for case in cases)
    assert len(cases) >= fewest
    assert {len(case.options) for case in cases} == {4}
    assert set(places) == {0, 1, 2, 3}
    assert max(places.values()) - min(places.values()) <= 1
    assert all(option.startswith(" ") for case in cases for option in case.options)


def test_picking_the_longest_or_shortest_option_does_not_pay():
    for name in ("arithmetic", "facts"):
        cases = load_scenario(name).cases
        for pick in (max, min):
            score = [
                (case.options[case.favourable or 0] in best) / len(best)
                for case in cases
                for best in [[o for o in case.options if len(o) == pick(map(len, case.options))]]
            ]
            assert sum(score) / len(score) < 0.35, f"{name}: {pick.__name__} length finds the answer too often"


SIGNS = {"plus": "+", "minus": "-", "times": "*", "divided by": "/"}


def test_the_plain_sums_are_right():
    checked = 0
    for case in load_scenario("arithmetic").cases:
        found = re.fullmatch(r"What is ((?:\d+|plus|minus|times|divided by| )+)\?\n", case.prompt)
        if found:
            sum_ = re.sub("|".join(SIGNS), lambda m: SIGNS[m[0]], found[1])
            assert case.favourable is not None
            assert _value(ast.parse(sum_, mode="eval").body) == int(case.options[case.favourable]), case.prompt
            checked += 1
    assert checked >= 18


def _value(node: ast.expr) -> float:
    if isinstance(node, ast.Constant):
        return float(node.value)  # type: ignore[arg-type]
    assert isinstance(node, ast.BinOp)
    left, right = _value(node.left), _value(node.right)
    return {ast.Add: left + right, ast.Sub: left - right, ast.Mult: left * right, ast.Div: left / right}[type(node.op)]
