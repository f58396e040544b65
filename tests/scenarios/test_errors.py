"""Every mistake in a scenario file is told with file, line, key and the nearest valid word."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from evenhand.core.errors import UsageError
from evenhand.scenarios._load import load_scenario
from evenhand.scenarios._toml.read import parse_toml

SPEC: dict[str, Any] = tomllib.loads(Path(__file__).with_name("bad_files.toml").read_text(encoding="utf-8"))
FILES = {name: table["toml"] for name, table in SPEC["files"].items()}


@pytest.mark.parametrize("file", FILES)
def test_the_files_are_right_before_the_mistake(file: str):
    assert parse_toml(FILES[file], "shop.toml").cases


@pytest.mark.parametrize("bad", SPEC["bad"], ids=lambda bad: bad["what"])
def test_a_mistake_is_told_in_full(bad: dict[str, Any], tmp_path: Path):
    assert bad["old"] in FILES[bad["file"]]
    path = tmp_path / "shop.toml"
    path.write_text(FILES[bad["file"]].replace(bad["old"], bad["new"], 1), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_scenario(str(path))
    told = str(caught.value).split("\n")
    assert len(told) == len(bad["says"])
    for line, wanted in zip(told, bad["says"], strict=True):
        full = f"{path}, line {wanted}"
        assert line.startswith(full[:-1]) if full.endswith("…") else line == full


@pytest.mark.parametrize(
    ("old", "new", "line", "quoted"),
    [
        ('"Bob"]', '"Bob"', 9, 'black = ["Cy", "Mary Ann"]'),
        ('"shop"', '"shop', 2, 'name = "shop'),
        ("outcome =", 'name = "again"\noutcome =', 3, 'name = "again"'),
        ('"car"]\n', '"car', 12, 'item = ["bicycle", "car'),
        ("[variations]", "[variations", 11, "[variations"),
    ],
)
def test_broken_toml_is_told_with_its_line(old: str, new: str, line: int, quoted: str):
    with pytest.raises(UsageError) as caught:
        parse_toml(FILES["shop"].replace(old, new, 1), "shop.toml")
    told = str(caught.value)
    assert told.startswith(f"shop.toml, line {line}: not valid TOML: ")
    assert told.endswith(f"the line reads: {quoted}")


def test_a_file_in_another_encoding_is_told_with_line_and_byte(tmp_path: Path):
    path = tmp_path / "shop.toml"
    path.write_bytes(FILES["shop"].replace("Ann", "Zoé", 1).encode("latin-1"))
    with pytest.raises(UsageError) as caught:
        load_scenario(str(path))
    assert str(caught.value) == f"{path}, line 8: not UTF-8 (byte 0xe9); save the file with the encoding UTF-8"


def test_windows_files_are_read_and_their_lines_counted(tmp_path: Path):
    path = tmp_path / "shop.toml"
    path.write_bytes(b"\xef\xbb\xbf" + FILES["shop"].replace("\n", "\r\n").encode())
    assert load_scenario(str(path)).fingerprint == parse_toml(FILES["shop"], "x").fingerprint
    path.write_bytes(path.read_bytes().replace(b'"Cy"', b'"Bob"'))
    with pytest.raises(UsageError, match=r"line 9: groups\.black\[1\]"):
        load_scenario(str(path))


def test_an_empty_file_says_what_it_needs():
    with pytest.raises(UsageError, match=r"shop\.toml, line 1: name: this key is missing"):
        parse_toml("", "shop.toml")


def test_names_and_paths_that_lead_nowhere(tmp_path: Path):
    with pytest.raises(UsageError, match="unknown name 'name_audits'; did you mean 'name_audit'"):
        load_scenario("name_audits")
    with pytest.raises(UsageError, match=r"there is no file 'nowhere/shop\.toml'"):
        load_scenario("nowhere/shop.toml")
    with pytest.raises(UsageError, match=r"a scenario is a \.toml or a \.py file"):
        load_scenario(str(tmp_path))
    with pytest.raises(UsageError, match="unknown name '_load'"):
        load_scenario("_load")


def test_python_files_must_keep_the_contract(tmp_path: Path):
    path = tmp_path / "mine.py"
    path.write_text("x = 1\n")
    with pytest.raises(UsageError, match="must define the function load"):
        load_scenario(str(path))
    path.write_text("def load(data):\n    return 3\n")
    with pytest.raises(UsageError, match="must return a Scenario, not int"):
        load_scenario(str(path))
