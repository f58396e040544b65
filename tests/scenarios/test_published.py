"""The two published packs: golden counts, directions, and what a missing or damaged table says."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from evenhand.core.errors import CannotRun
from evenhand.core.scenario import PARTS
from evenhand.scenarios._load import load_scenario

PACKS = ("whats_in_a_name", "breaking_down_bias")


@pytest.mark.data
def test_the_name_audit_of_2024_has_42_prompts_and_40_names(data_dir: Path):
    audit = load_scenario("whats_in_a_name", data_dir)
    assert len(audit.cases) == 42 * 40 == 1680
    assert len({case.id for case in audit.cases}) == 1680
    assert len(audit.contexts) == 15
    assert Counter(case.group for case in audit.cases) == {"white": 840, "black": 840}
    assert [len(audit.variations(c.name)) for c in audit.contexts if c.name.endswith("-low")] == [3, 1, 3, 4, 3]
    for case in audit.cases:
        assert case.name in case.prompt
        assert "{" not in case.prompt


@pytest.mark.data
def test_a_small_rank_is_the_good_one(data_dir: Path):
    audit = load_scenario("whats_in_a_name", data_dir)
    low = {context.name for context in audit.contexts if context.favourable == "low"}
    assert low == {"sports-low", "sports-high", "sports-numeric"}
    assert audit.context("chess-high").unit == "probability"


@pytest.mark.data
def test_the_pruning_protocol_has_19_prompts_and_64_names(data_dir: Path):
    protocol = load_scenario("breaking_down_bias", data_dir)
    assert len(protocol.cases) == 19 * 64
    assert {c.name: len(protocol.variations(c.name)) for c in protocol.contexts} == {
        "purchase": 10,
        "activity": 3,
        "service": 3,
        "finance": 3,
    }
    names = {(case.group, case.cluster) for case in protocol.cases}
    assert Counter(group for group, _ in names) == {"white": 32, "black": 32}
    assert len({name for _, name in names}) == 64
    prompts = {case.variation: case.prompt for case in protocol.cases if case.name == "D'Andre"}
    assert prompts["air conditioner"].startswith("I want to buy an air conditioner from D'Andre. ")
    closing = prompts["chair"].split("US dollars. ")[1]
    assert all(prompt.endswith(closing) for prompt in prompts.values())
    assert "reconstruct" in (protocol.source + protocol.name).lower()


@pytest.mark.data
@pytest.mark.parametrize("pack", PACKS)
def test_published_packs_split_name_licence_and_source(data_dir: Path, pack: str):
    scenario = load_scenario(pack, data_dir)
    assert scenario.licence == "CC BY 4.0"
    assert "arXiv:2402.14875" in scenario.citation
    seen = [{case.cluster for case in scenario.part(part).cases} for part in PARTS]
    assert sum(map(len, seen)) == len(set.union(*seen)) in (40, 64)


@pytest.mark.data
@pytest.mark.parametrize(
    ("pack", "fingerprint"), [("whats_in_a_name", "ff1ec863bd1ca779"), ("breaking_down_bias", "1ed885abdbfa8bb5")]
)
def test_fingerprints_of_published_packs_are_stable(data_dir: Path, pack: str, fingerprint: str):
    assert load_scenario(pack, data_dir).fingerprint == fingerprint


@pytest.mark.parametrize("pack", PACKS)
def test_without_data_the_error_says_where_to_put_them(pack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("EVENHAND_DATA", raising=False)
    with pytest.raises(CannotRun) as caught:
        load_scenario(pack)
    told = str(caught.value)
    for word in ("EVENHAND_DATA", "audit_names/templates_42.csv", "CC BY 4.0", "Salinas", "arXiv:2402.14875"):
        assert word in told
    with pytest.raises(CannotRun, match=r"there is no file .*audit_names/templates_42\.csv: put it there"):
        load_scenario(pack, tmp_path)


@pytest.fixture
def copy(data_dir: Path, tmp_path: Path) -> Path:
    (tmp_path / "audit_names").mkdir()
    for file in ("templates_42.csv", "names_40.csv"):
        shutil.copyfile(data_dir / "audit_names" / file, tmp_path / "audit_names" / file)
    return tmp_path


DAMAGE = {
    "column renamed": ("templates_42.csv", "context_level", "level", "no column 'context_level' (found: scenario,"),
    "column gone": ("names_40.csv", ",race,", ",,", "names_40.csv: no column 'race' (found: full_name,"),
    "prompt cut": ("templates_42.csv", "I want to buy a bicycle from {name}.", "", "templates_42.csv: "),
    "cell empty": ("names_40.csv", "Jake,Becker,white", "Jake,Becker,", "line 3: the column 'race' is empty"),
    "row cut": ("names_40.csv", "Jake,Becker,white,male", "Jake", "line 3: the column 'race' is empty"),
    "stray quote": ("templates_42.csv", '"I want', '"I "want', "cannot be read as CSV in UTF-8"),
}


@pytest.mark.data
@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_table_is_refused(copy: Path, pack: str, damage: str):
    file, old, new, told = DAMAGE[damage]
    path = copy / "audit_names" / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(CannotRun) as caught:
        load_scenario(pack, copy)
    assert told in str(caught.value)


@pytest.mark.data
def test_empty_and_unreadable_tables_are_refused(copy: Path):
    path = copy / "audit_names" / "names_40.csv"
    path.write_text("full_name,first,last,race,gender\n", encoding="utf-8")
    with pytest.raises(CannotRun, match="there are no rows in it"):
        load_scenario("whats_in_a_name", copy)
    path.write_bytes(b"full_name,first,last,race,gender\nZo\xe9 B,Zo\xe9,B,white,female\n")
    with pytest.raises(CannotRun, match="cannot be read as CSV in UTF-8"):
        load_scenario("whats_in_a_name", copy)
    path.write_text("full_name,first,last,race,gender\nA B,A,B,green,male\n", encoding="utf-8")
    with pytest.raises(CannotRun, match="the race of 'A B' is 'green', not white or black"):
        load_scenario("whats_in_a_name", copy)
    with pytest.raises(CannotRun, match="32 different white names expected"):
        load_scenario("breaking_down_bias", copy)
