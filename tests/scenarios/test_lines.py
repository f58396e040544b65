"""Every key and entry of a TOML text gets the line it is written on."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand.scenarios._toml.lines import KeyPath, line_numbers, line_of, show

TEXT = (
    '''# comment with [groups] and name = "no"
name = "shop" # = [x]
system = """
template = "not a key"
[not.a.table]
a quote "" and """
"quoted key" = 'it'''
    + "''"
    + """
dotted.sub . "key" = 1

[groups]  # [white]
white = ["Ann # no comment", "Mary Ann",
  # a comment, with "quotes" ]
  'O"Neil',

  "[x]"]
black = []
empty = { a = "}", b = ["1",
  "2"], c.d = 3 }

[contexts.service]
template = "{name}]"
[ contexts . service . variations ]
job = [["a"], ["b", "c"]]
[[items]]
prompt = "one"
[[items]]
prompt = "two"
options = ["x",
"y"]
[[items.deep]]
k = 1979-05-27T07:32:00Z
[[items.deep]]
k = true
"""
)
TEXT = TEXT.replace("'it" + "''", "'it'")

WHERE: dict[KeyPath, str] = {
    ("name",): "name =",
    ("system",): "system =",
    ("quoted key",): '"quoted key"',
    ("dotted", "sub", "key"): "dotted.sub",
    ("groups",): "[groups]",
    ("groups", "white"): "white =",
    ("groups", "white", 1): '"Mary Ann"',
    ("groups", "white", 2): "'O\"Neil'",
    ("groups", "white", 3): '"[x]"',
    ("groups", "black"): "black =",
    ("groups", "empty", "b", 1): '"2"]',
    ("groups", "empty", "c", "d"): "c.d",
    ("contexts", "service"): "[contexts.service]",
    ("contexts", "service", "template"): 'template = "{name}]"',
    ("contexts", "service", "variations", "job"): "job =",
    ("items", 0, "prompt"): '"one"',
    ("items", 1, "prompt"): '"two"',
    ("items", 1, "options", 1): '"y"]',
    ("items", 1, "deep", 1, "k"): "k = true",
}


def test_the_text_is_toml():
    assert tomllib.loads(TEXT)["contexts"]["service"]["template"] == "{name}]"


@pytest.mark.parametrize("path", WHERE, ids=show)
def test_line_of_a_key(path: KeyPath):
    line = line_of(line_numbers(TEXT), path)
    assert WHERE[path] in TEXT.split("\n")[line - 1]


def test_what_is_not_written_gets_the_line_of_its_table():
    lines = line_numbers(TEXT)
    assert line_of(lines, ("contexts", "service", "favourable")) == line_of(lines, ("contexts", "service"))
    assert line_of(lines, ("nothing",)) == 1


def test_key_paths_are_shown_as_one_writes_them():
    assert show(("contexts", "my shop", "options", 1)) == 'contexts."my shop".options[2]'


def _paths(value: Any, path: KeyPath = ()) -> set[KeyPath]:
    if isinstance(value, dict):
        return {p for key, inner in value.items() for p in _paths(inner, (*path, key))} | {path}
    if isinstance(value, list):
        return {p for i, inner in enumerate(value) for p in _paths(inner, (*path, i))} | {path}
    return {path}


def test_every_key_and_entry_has_a_line():
    assert _paths(tomllib.loads(TEXT)) - {()} <= set(line_numbers(TEXT))


_word = st.text(alphabet="ab\"\\{}[]#=\n\t'é,", max_size=8)


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(_word, st.lists(_word, max_size=3)), max_size=6))
def test_any_list_of_strings_is_found_on_its_line(entries: list[tuple[str, list[str]]]):
    text = "".join(f"k{i} = [{', '.join(map(_quote, [word, *more]))}]\n" for i, (word, more) in enumerate(entries))
    tomllib.loads(text)
    lines = line_numbers(text)
    for i, (_, more) in enumerate(entries):
        assert lines[f"k{i}",] == i + 1
        assert all(lines[f"k{i}", j] == i + 1 for j in range(len(more) + 1))
