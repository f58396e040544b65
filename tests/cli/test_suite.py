"""`evenhand audit --suite`: one table, results that resume, and plain words for what cannot be measured."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from evenhand.core.component import Selection
from evenhand.edits._file import save
from evenhand.edits.scale import Scale
from evenhand.lm.load import load

PAIRS = '''
from evenhand.core.case import Case
from evenhand.core.scenario import Context, Scenario


def load(data):
    """Six pairs in one context."""
    cases = tuple(
        Case(str(i), "", "shop", cluster=str(i), options=(f"Alba sold {i} lamps.", f"Hunter sold {i} lamps."))
        for i in range(6)
    )
    return Scenario("pairs", cases, (Context("shop", "pair"),), measures=("stereotype_preference",))
'''


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite of one benchmark of our own and one that only takes data that are absent."""
    (tmp_path / "pairs.py").write_text(PAIRS)
    path = tmp_path / "mine.toml"
    path.write_text(f"[[benchmarks]]\nscenario = {json.dumps(str(tmp_path / 'pairs.py'))}\n")
    return path


def test_one_table_and_a_folder_that_resumes(evenhand, shop: Path, suite: Path, tmp_path: Path) -> None:
    command = ("audit", shop / "model", "--suite", suite, "--replicates", 20, "--out", tmp_path / "out")
    said = evenhand(*command)
    assert said.code == 0
    head, row = said.out.splitlines()[1:3]
    assert head.split()[:4] == ["benchmark", "context", "measure", "value"]
    assert row.split()[:4] == ["pairs", "shop", "stereotype_preference", "normalised"]
    assert "[1/1] pairs: 6 items" in said.err
    again = evenhand(*command)
    assert again.out == said.out
    assert "was there already" in again.err


def test_what_is_absent_is_told_at_the_end_and_fails(
    evenhand, shop: Path, suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "no data"
    empty.mkdir()
    monkeypatch.setenv("EVENHAND_DATA", str(empty))
    monkeypatch.setenv("EVENHAND_OFFLINE", "1")
    own = suite.read_text()
    suite.write_text(f'[[benchmarks]]\nscenario = "whats_in_a_name"\nmeasures = ["mean"]\n{own}')
    said = evenhand("audit", shop / "model", "--suite", suite, "--replicates", 20, "--out", tmp_path / "out", "--json")
    assert said.code == 3
    assert "1 of 2 benchmarks could not be asked" in said.err
    assert "audit_names" in said.err
    failed, measured = json.loads(said.out)["benchmarks"]
    assert failed["scenario"] == "whats_in_a_name"
    assert measured["cases"] == 6
    estimate = next(row["estimate"] for row in measured["rows"] if row["key"] == "summed")
    assert estimate["low"] <= estimate["value"] <= estimate["high"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--scenario", "name_audit"), "--scenario goes with one scenario, not with --suite"),
        (("--fail-over", "0.2"), "--fail-over goes with one scenario"),
        (("--variations",), "--variations goes with one scenario"),
    ],
)
def test_options_that_a_suite_would_ignore_are_refused(evenhand, shop: Path, suite: Path, more, says: str) -> None:
    said = evenhand("audit", shop / "model", "--suite", suite, *more)
    assert said.code == 2
    assert says in said.err


@pytest.mark.parametrize("more", [("--by-context",), ("--out", "x")])
def test_options_of_a_suite_are_refused_without_one(evenhand, shop: Path, more) -> None:
    said = evenhand("audit", shop / "model", "--scenario", shop / "shop.toml", *more)
    assert said.code == 2
    assert "goes with benchmarks: --suite" in said.err


def test_a_benchmark_alone_prints_its_own_measures(evenhand, shop: Path, suite: Path) -> None:
    said = evenhand("audit", shop / "model", "--scenario", suite.parent / "pairs.py", "--replicates", 20,
                    "--out", suite.parent / "out")  # fmt: skip
    assert said.code == 0
    assert "normalised.effect" in said.out


@pytest.fixture
def folder(shop: Path, tmp_path: Path) -> Path:
    """An edit of the shop's model: every other neuron off."""
    lm = load(shop / "model")
    layout = lm.layout("neuron")
    edit = Scale(Selection.of(layout, list(range(0, layout.size, 2))))
    save(edit, tmp_path / "edit", lm.identity.to_json(), {})
    return tmp_path / "edit"


def test_an_edit_stands_beside_the_model(evenhand, shop: Path, suite: Path, folder: Path, tmp_path: Path) -> None:
    command = ("audit", shop / "model", "--suite", suite, "--replicates", 20, "--out", tmp_path / "out")
    said = evenhand(*command, "--edit", folder)
    assert said.code == 0, said.err
    title, head, *rows = said.out.splitlines()
    assert f"beside {folder}" in title
    assert head.split()[3:6] == ["value", "edited", "change"]
    assert all(re.search(r"stereotype_preference.*(\[.*\].*){2}", row) for row in rows if " normalised " in row)
    (benchmark,) = json.loads(evenhand(*command, "--edit", folder, "--json").out)["benchmarks"]
    assert {(row["subject"], row["against"]) for row in benchmark["rows"]} == {
        ("base", ""), ("edit", ""), ("edit", "base"),
    }  # fmt: skip
    absent = evenhand(*command, "--edit", tmp_path / "none")
    assert absent.code == 2
    assert "expected a folder with edit.json" in absent.err


def test_a_benchmark_over_its_limit_fails_and_says_so(evenhand, shop: Path, suite: Path, tmp_path: Path) -> None:
    command = ("audit", shop / "model", "--scenario", suite.parent / "pairs.py", "--replicates", 20,
               "--out", tmp_path / "out", "--junit", tmp_path / "j.xml")  # fmt: skip
    rows = json.loads(evenhand(*command[:-2], "--json").out)["benchmarks"][0]["rows"]
    values = {row["key"]: row["estimate"] for row in rows if row["key"] in ("normalised", "summed")}
    for limit in (0.5, 49.5):
        said = evenhand(*command, "--fail-over", limit)
        beyond = {key for key, each in values.items() if each["low"] > 50 + limit or each["high"] < 50 - limit}
        assert said.code == bool(beyond), said.err
        root = ElementTree.parse(tmp_path / "j.xml").getroot()
        assert (root.get("name"), root.get("tests")) == ("evenhand pairs", "2")
        assert root.get("failures") == str(len(beyond))
        for key in values:
            told = f"OVER      pairs, shop: stereotype_preference {key}: " in said.out
            assert told is (key in beyond)
    assert "give the limit with --fail-over" in evenhand(*command).err


def test_the_limits_of_a_suite_stand_in_it(evenhand, shop: Path, suite: Path, tmp_path: Path) -> None:
    suite.write_text(suite.read_text() + 'fail_over = { "stereotype_preference.summed" = 0.0 }\n')
    command = ("audit", shop / "model", "--suite", suite, "--replicates", 20, "--out", tmp_path / "out")
    said = evenhand(*command, "--junit", tmp_path / "j.xml", "--json")
    (finding,) = json.loads(said.out)["findings"]
    assert finding["context"] == "pairs, shop: stereotype_preference summed"
    assert said.code == (finding["outcome"] == "over")
    refused = evenhand(*command, "--fail-over", 0.2)
    assert refused.code == 2
    assert "the limits of a suite stand in it, as fail_over" in refused.err
    suite.write_text(suite.read_text().replace("stereotype_preference.summed", "stereotype_preference.sumed"))
    wrong = evenhand(*command, "--junit", tmp_path / "j.xml")
    assert wrong.code == 3
    assert "those that have: stereotype_preference.normalised" in wrong.out
    assert ElementTree.parse(tmp_path / "j.xml").getroot().get("errors") == "1"
    assert (tmp_path / "out" / "table.txt").read_text().rstrip() == wrong.out.rstrip()


def _masked(folder: Path) -> Path:
    """A benchmark that a causal model cannot take."""
    path = folder / "masked.py"
    path.write_text(
        PAIRS.replace('"pairs"', '"masked"').replace("measures=(", 'masked_only="it has a mask", measures=(')
    )
    return path


def test_a_limit_on_what_could_not_be_measured_is_not_kept(evenhand, shop: Path, suite: Path, tmp_path: Path) -> None:
    more = f"[[benchmarks]]\nscenario = {json.dumps(str(_masked(tmp_path)))}\n"
    suite.write_text(f"{suite.read_text()}{more}fail_over = {{ stereotype_preference = 0.1 }}\n")
    said = evenhand("audit", shop / "model", "--suite", suite, "--replicates", 20, "--out", tmp_path / "out")
    assert "not for this model" in said.out
    assert said.code == 3
    assert "no number to judge in " in said.err


def test_a_single_benchmark_the_model_cannot_take_is_an_error(evenhand, shop: Path, tmp_path: Path) -> None:
    said = evenhand("audit", shop / "model", "--scenario", _masked(tmp_path), "--out", tmp_path / "out", "--json",
                    "--fail-over", 0.1, "--junit", tmp_path / "j.xml")  # fmt: skip
    assert (said.code, said.out) == (3, "")
    assert "mask" in said.err
    assert ElementTree.parse(tmp_path / "j.xml").getroot().get("errors") == "1"


def test_a_number_over_its_limit_is_told_even_where_another_benchmark_fails(
    evenhand, shop: Path, suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENHAND_DATA", str(tmp_path))
    monkeypatch.setenv("EVENHAND_OFFLINE", "1")
    suite.write_text(suite.read_text() + "fail_over = { stereotype_preference = 0.0 }\n"
                     '[[benchmarks]]\nscenario = "crows_pairs"\n')  # fmt: skip
    command = ("audit", shop / "model", "--suite", suite, "--replicates", 20, "--out", tmp_path / "out")
    said = evenhand(*command)
    assert "1 of 2 benchmarks could not be asked" in said.err
    assert "OVER " in said.out
    assert said.code == 1


def test_a_killed_suite_goes_on_where_it_was(shop: Path, suite: Path, tmp_path: Path) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text(
        PAIRS.replace('"pairs"', '"slow"').replace("    cases =", "    import os\n    os._exit(9)\n    cases =")
    )
    suite.write_text(suite.read_text() + f"[[benchmarks]]\nscenario = {json.dumps(str(slow))}\n")
    run = "from evenhand.cli.main import main; main()"
    command = [sys.executable, "-c", run, "audit", str(shop / "model"), "--suite", str(suite),
               "--replicates", "20", "--out", str(tmp_path / "out")]  # fmt: skip
    killed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert killed.returncode == 9
    slow.write_text(PAIRS.replace('"pairs"', '"slow"'))
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "[1/2] pairs: 6 items (was there already)" in finished.stderr
    assert "slow" in finished.stdout
