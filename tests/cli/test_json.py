"""`--json` of every command that has it: one strict JSON document alone on stdout, undefined numbers as null."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from evenhand.cli.screen import document
from evenhand.lm.read import Reading

PICKY = '''"""Never works."""
from dataclasses import dataclass

from evenhand.core.errors import CannotRun
from evenhand.methods.random import Random


@dataclass(frozen=True)
class Picky(Random):
    """Refuses."""

    def path(self, lm, bias, utility, sizes):
        raise CannotRun("this model gives no numbers")
'''


def _strict(text):
    """Parse as JSON has it: `NaN` and `Infinity`, which Python writes and reads, are no JSON."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def test_undefined_numbers_are_null(capsys):
    document({"a": math.nan, "b": [1.5, -math.inf, (math.inf, "NaN")], "c": {"d": True}})
    assert _strict(capsys.readouterr().out) == {"a": None, "b": [1.5, None, [None, "NaN"]], "c": {"d": True}}


@pytest.mark.parametrize("command", ["audit", "locate", "fit", "run", "export", "list", "plant"])
def test_every_command_with_a_result_has_it(evenhand, command):
    """`report` prints nothing but the path of the page, and `demo` is for people (its study can be run with --json)."""
    assert "--json" in evenhand(command, "--help").out


def test_audit_records_how_it_read_and_writes_no_nan(evenhand, shop, tmp_path):
    text = (shop / "shop.toml").read_text()
    (tmp_path / "two.toml").write_text(
        text.replace(', "Hunter", "Ann", "Bo", "Eve", "Al"', "").replace(', "Cy", "Di", "Flo", "Gus", "Hal"', "")
    )
    said = evenhand("audit", shop / "model", "-s", tmp_path / "two.toml", "--temperature", 0.7, "--top-p", 0.9,
                    "--node-budget", 50, "--numeric", "exact", "--seed", 3, "--replicates", 20, "--fail-over", 1,
                    "--json")  # fmt: skip
    assert said.code == 3
    assert "no number to judge in bus, lamp" in said.err
    record = _strict(said.out)
    assert record["reading"] == dataclasses.asdict(Reading("exact", 20, 0.7, 0.9, 3, node_budget=50))
    assert any(row["estimate"]["low"] is None for row in record["rows"]), "nothing here is undefined"
    assert {finding["outcome"] for finding in record["findings"]} == {"no_answer"}
    for wrong in (("--top-p", 0), ("--temperature", -1), ("--node-budget", 0)):
        assert evenhand("audit", shop / "model", "-s", tmp_path / "two.toml", *wrong).code == 2


def test_locate_takes_counts_and_shares(evenhand, shop):
    asked = ("locate", shop / "model", "-s", shop / "shop.toml", "-c", "bus", "-l", "random", "--json")
    for top, size in (("3.0", 3), ("0.05", 7), ("0", 0), ("1", 1)):
        assert len(_strict(evenhand(*asked, "--top", top).out)["units"]) == size
    said = evenhand(*asked, "--top", "2.7")
    assert (said.code, said.out) == (2, "")
    assert "--top 2.7: write a whole number of units, or a share of all units below 1" in said.err


def test_fit_and_export(evenhand, shop, tmp_path):
    fitted = evenhand("fit", shop / "model", "-s", shop / "shop.toml", "-m", "random", "--units", 5, "--utility",
                      shop / "texts.toml", "--out", tmp_path / "edit", "--json")  # fmt: skip
    record = _strict(fitted.out)
    assert record["edit"] == str(tmp_path / "edit")
    assert sum(record["per_layer"].values()) == 5
    baked = _strict(evenhand("export", shop / "model", tmp_path / "edit", tmp_path / "out", "--json").out)
    assert baked["matrices"] == sum(n > 0 for n in record["per_layer"].values())


def test_a_run_lists_the_cells_that_could_not_be_run_and_why(evenhand, shop, tmp_path):
    (tmp_path / "picky.py").write_text(PICKY)
    (tmp_path / "study.toml").write_text(
        (shop / "study.toml").read_text().replace(
            "[[methods]]", f'[[methods]]\nname = {json.dumps(str(tmp_path / "picky.py"))}\n[[methods]]'
        )
    )  # fmt: skip
    said = evenhand("run", tmp_path / "study.toml", "--out", tmp_path / "run", "--json")
    assert said.code == 3
    record = _strict(said.out)
    assert [cell["method"] for cell in record["cells"]] == ["random"]
    (failed,) = record["not_run"]
    assert failed["reason"] == "this model gives no numbers"
    assert failed["fitted_on"] == ["lamp"]
    assert "[1/2] could not be run: " in said.err
    assert "[2/2] random on lamp" in said.err
    assert "1 of 2 cells could not be run; the others are finished. The same command tries these again" in said.err
    plain = evenhand("run", tmp_path / "study.toml", "--out", tmp_path / "run")
    assert plain.code == 3
    assert "random  lamp" in plain.out
    assert f"not finished: {tmp_path / 'run'}" in plain.out
    assert "was there already" in plain.err


def test_list(evenhand):
    found = _strict(evenhand("list", "--json").out)
    assert found["methods"]["random"].startswith("Switch off randomly chosen units")
    assert _strict(evenhand("list", "locate", "--json").out).keys() == {"locate"}
