"""`evenhand audit --suite`: one table, results that resume, and plain words for what cannot be measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
