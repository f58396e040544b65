"""The names of the audit signal what the audit says, and little else: against public tables and a real tokenizer."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from evenhand.scenarios._load import load_scenario

GROUPS: dict[str, list[str]] = {}
for _case in load_scenario("name_audit").cases:
    if _case.name not in GROUPS.setdefault(_case.group, []):
        GROUPS[_case.group].append(_case.name)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _births(data: Path) -> dict[str, dict[str, int]]:
    births: dict[str, dict[str, int]] = {}
    for row in _rows(data / "names_ssa" / "first_names_by_birth_year.csv"):
        total = sum(int(n) for column, n in row.items() if column.startswith("births"))
        births.setdefault(row["firstname"], {"female": 0, "male": 0})[row["gender"]] += total
    return births


@pytest.mark.data
def test_group_shares_support_every_name(data_dir: Path):
    shares = {row["firstname"]: row for row in _rows(data_dir / "names_us" / "first_names_race.csv")}
    other = ("pcthispanic", "pctapi", "pctaian", "pct2prace")
    for name in GROUPS["white"]:
        assert float(shares[name.upper()]["pctwhite"]) >= 90, name
    for name in GROUPS["black"]:
        row = shares[name.upper()]
        assert float(row["pctblack"]) >= max(float(row[column]) for column in ("pctwhite", *other)), name
    assert median(float(shares[name.upper()]["pctblack"]) for name in GROUPS["black"]) >= 65
    assert min(int(shares[name.upper()]["obs"]) for names in GROUPS.values() for name in names) >= 15


@pytest.mark.data
def test_gender_is_clear_and_balanced(data_dir: Path):
    births = _births(data_dir)
    for group, names in GROUPS.items():
        women = [births[name]["female"] / sum(births[name].values()) for name in names]
        assert all(share < 0.2 or share > 0.95 for share in women), group
        assert sum(share > 0.5 for share in women) == len(names) / 2 == 14


@pytest.mark.data
def test_groups_are_about_equally_frequent(data_dir: Path):
    births = _births(data_dir)
    middle = {group: median(sum(births[name].values()) for name in names) for group, names in GROUPS.items()}
    assert 0.75 < middle["black"] / middle["white"] < 1.33, middle


@pytest.mark.data
def test_no_name_is_an_english_word(data_dir: Path):
    words = {
        word
        for file in ("test.txt", "valid.txt")
        for word in re.findall(r"[a-z]+", (data_dir / "wikitext2" / file).read_text(encoding="utf-8"))
    }
    assert len(words) > 10_000
    assert [name for names in GROUPS.values() for name in names if name.lower() in words] == []


def test_syllables_and_letters_are_about_equal():
    vowels = {group: [len(re.findall(r"[aeiouy]+", n.lower())) for n in names] for group, names in GROUPS.items()}
    letters = {group: sum(map(len, names)) / len(names) for group, names in GROUPS.items()}
    assert abs(sum(vowels["white"]) - sum(vowels["black"])) / 28 < 0.35
    assert abs(letters["white"] - letters["black"]) < 1


@pytest.mark.models
@pytest.mark.parametrize(
    ("tokenizer", "apart"), [("gpt2", 0), ("gpt-neox", 0.3), ("phi-2", 0.3), ("falcon-tokenizer", 0.3)]
)
def test_groups_have_about_as_many_tokens(models_dir: Path, tokenizer: str, apart: float):
    from transformers import AutoTokenizer

    loaded: Any = AutoTokenizer.from_pretrained(models_dir / "tokenizers" / tokenizer)
    mean = {
        group: sum(len(loaded(f" {name}", add_special_tokens=False)["input_ids"]) for name in names) / len(names)
        for group, names in GROUPS.items()
    }
    assert abs(mean["white"] - mean["black"]) <= apart, mean
