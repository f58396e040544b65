"""What a scenario file says becomes cases: products, inheritance, directions, names of several words."""

from __future__ import annotations

from pathlib import Path

import pytest

from evenhand.core.scenario import Context
from evenhand.scenarios._load import load_scenario
from evenhand.scenarios._toml.read import parse_toml

GROUPS = '[groups]\nwhite = ["Ann", "Bob"]\nblack = ["Cy", "Mary Ann"]\n'


def test_one_context_named_after_the_scenario():
    scenario = parse_toml(
        'name = "shop"\noutcome = "number"\nunit = "dollars"\nfavourable = "low"\nreference = "black"\n'
        'system = "Be short, {item}."\nanswer_prefix = " $"\ntemplate = "{name}, {{real}} {item}, {colour}?"\n'
        f'{GROUPS}[variations]\ncolour = ["red", "blue"]\nitem = ["bicycle", "car"]\n',
        "shop.toml",
    )
    assert scenario.groups == ("black", "white")
    assert scenario.contexts == (Context("shop", "number", "low", "dollars"),)
    assert len(scenario.cases) == 4 * 4
    case = scenario.cases[1]
    assert case.id == "shop/bicycle + red/black/Mary Ann"
    assert case.prompt == "Mary Ann, {real} bicycle, red?"
    assert (case.system, case.answer_prefix) == ("Be short, bicycle.", " $")
    assert (case.cluster, case.name, case.group) == ("Mary Ann", "Mary Ann", "black")
    assert scenario.variations("shop") == ("bicycle + red", "bicycle + blue", "car + red", "car + blue")
    assert len({case.id for case in scenario.cases}) == 16


INHERITED = f"""
name = "two"
outcome = "number"
unit = "dollars"
favourable = "high"
answer_prefix = "$"
system = "Be short."
template = "{{name}} and the {{item}}?"
{GROUPS}
[variations]
item = ["car"]
[contexts.plain]
[contexts.own]
favourable = "low"
answer_prefix = ""
variations.item = ["boat", "tent"]
[contexts.ask]
outcome = "choice"
template = "Call {{name}}?"
options = ["no", "yes"]
favourable = "yes"
[contexts.said]
outcome = "pair"
options = ["{{name}} is kind.", "{{name}} is rude."]
favourable = "low"
[contexts.told]
outcome = "text"
system = ""
template = "{{name}} is"
favourable_words = ["kind"]
unfavourable_words = ["rude"]
"""


def test_contexts_inherit_what_fits_their_outcome():
    scenario = parse_toml(INHERITED, "two.toml")
    plain, own, ask, said, told = scenario.contexts
    first = {case.context: case for case in reversed(scenario.cases)}
    assert (plain.unit, plain.favourable, first["plain"].answer_prefix) == ("dollars", "high", "$")
    assert (own.unit, own.favourable, first["own"].answer_prefix) == ("dollars", "low", "")
    assert scenario.variations("plain") == ("car",)
    assert scenario.variations("own") == ("boat", "tent")
    assert (ask.unit, ask.favourable, first["ask"].answer_prefix) == ("", "high", "")
    assert (first["ask"].options, first["ask"].favourable) == (("no", "yes"), 1)
    assert first["ask"].variation == ""
    assert first["ask"].system == "Be short."
    assert (first["said"].prompt, first["said"].options) == ("", ("Ann is kind.", "Ann is rude."))
    assert (first["said"].favourable, said.favourable) == (1, "low")
    assert first["told"].system == ""
    assert (told.favourable_words, told.unfavourable_words) == (("kind",), ("rude",))


def test_items_are_their_own_clusters():
    quiz = parse_toml(
        'name = "quiz"\noutcome = "choice"\nanswer_prefix = "Answer:"\nitems = [\n'
        '{ prompt = "One {and} one?", options = [" 1", " 2"], answer = " 2" },\n'
        '{ prompt = "Two and one?", options = [" 3", " 4"], answer = " 3" } ]\n',
        "quiz.toml",
    )
    assert [(case.id, case.cluster, case.favourable) for case in quiz.cases] == [("quiz/1", "0", 1), ("quiz/2", "1", 0)]
    assert quiz.cases[0].prompt == "One {and} one?"
    assert quiz.groups == ()
    texts = parse_toml('name = "t"\noutcome = "sentence"\n[[items]]\ntext = "Rain."\n', "t.toml")
    assert (texts.cases[0].prompt, texts.contexts[0].outcome) == ("Rain.", "sentence")


def test_a_name_is_filled_in_once_even_when_it_looks_like_a_slot():
    text = INHERITED.replace('"Cy"', '"{item}"')
    assert "{item} and the car?" in [case.prompt for case in parse_toml(text, "x").cases]


def test_a_name_is_one_cluster_in_all_contexts():
    scenario = parse_toml(INHERITED, "two.toml")
    assert {case.cluster for case in scenario.cases if case.group == "white"} == {"Ann", "Bob"}


@pytest.mark.parametrize(
    ("old", "new"),
    [('"Ann"', '"Anne"'), ("and the", "or the"), ('"boat"', '"ship"'), ('answer_prefix = "$"', 'answer_prefix = " $"'),
     ('favourable = "yes"', 'favourable = "no"'), ("Be short.", "Be long."), ('name = "two"', 'name = "2"')],
)  # fmt: skip
def test_edits_that_change_numbers_change_the_fingerprint(old: str, new: str):
    assert parse_toml(INHERITED.replace(old, new), "x").fingerprint != parse_toml(INHERITED, "x").fingerprint


def test_comments_licence_citation_and_place_do_not():
    noted = '# note\nlicence = "CC0"\ncitation = "Nobody"\n' + INHERITED
    assert parse_toml(noted, "y").fingerprint == parse_toml(INHERITED, "x").fingerprint
    assert (parse_toml(noted, "y").licence, parse_toml(noted, "y").source) == ("CC0", "y")


def test_a_file_of_ones_own_loads_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    toml = tmp_path / "two.toml"
    toml.write_text(INHERITED, encoding="utf-8")
    assert load_scenario(str(toml)).source == str(toml)
    python = tmp_path / "mine.py"
    python.write_text(
        "from pathlib import Path\nfrom evenhand import Scenario\n"
        "def load(data):\n    return Scenario(str(data), (), ())\n"
    )
    monkeypatch.setenv("EVENHAND_DATA", "from/environment")
    assert load_scenario(str(python)).name == "from/environment"
    assert load_scenario(str(python), tmp_path).name == str(tmp_path)
