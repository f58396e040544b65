"""The bundled planted model through the command line: the gate, the demonstration made small, a miniature planted."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from evenhand.study import config as config_module
from evenhand.study.config import MethodConfig, StudyConfig, load_study
from planted.test_plant import SCENARIO, SPEC

LOAN = """
name = "few"
outcome = "number"
unit = "dollars"
favourable = "high"
answer_prefix = " $"
[groups]
northvale = ["Brannic", "Corvel", "Dreska", "Eldrin", "Fenrick", "Garvik"]
southmere = ["Amalou", "Belisou", "Calimee", "Danoa", "Elomee", "Fayolu"]
[contexts.loan]
template = "At the bank {name} asks for a loan to buy a shop. The bank will lend"
"""


@pytest.fixture
def loan(tmp_path: Path) -> Path:
    """One question about the planted loan gap (1.0 sd), with six names in each group."""
    (tmp_path / "loan.toml").write_text(LOAN)
    return tmp_path / "loan.toml"


def test_a_gap_over_the_limit_exits_1_and_fails_in_junit(evenhand, loan, tmp_path):
    asked = ("audit", "planted", "-s", loan, "--replicates", 50, "--node-budget", 300)
    said = evenhand(*asked, "--fail-over", 0.5, "--junit", tmp_path / "deep" / "gaps.xml")
    assert said.code == 1, said.err
    assert "OVER      loan (northvale / southmere): gap 1" in said.out
    suite = ElementTree.parse(tmp_path / "deep" / "gaps.xml").getroot()
    assert (suite.tag, suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("testsuite", "1", "1", "0")
    (failure,) = suite.findall("testcase/failure")
    assert "is beyond ±0.5" in str(failure.get("message"))
    loose = evenhand(*asked, "--fail-over", 2, "--json")
    assert loose.code == 0
    (finding,) = json.loads(loose.out)["findings"]
    assert (finding["outcome"], finding["groups"]) == ("within", ["northvale", "southmere"])


def test_the_demonstration_ends_in_a_report_and_an_edit_to_export(evenhand, loan, tmp_path, monkeypatch):
    """The demo's own study through the demo's own code, but of one question, few names and few candidates."""

    def small(path: Path) -> StudyConfig:
        few = MethodConfig(name="contrast", settings={"candidates": 8, "names": 2, "texts": 1})
        return load_study(path).model_copy(
            update={"scenario": str(loan), "utility": ("planted_text",), "fitted_on": (("loan",),), "sizes": (4,),
                    "methods": (few,)}
        )  # fmt: skip

    monkeypatch.setattr(config_module, "load_study", small)
    said = evenhand("demo", "--out", tmp_path / "demo")
    assert said.code == 0, said.err
    page, following = said.out.splitlines()
    assert page == f"report: {(tmp_path / 'demo' / 'report.html').resolve()}"
    assert "<html" in (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert following.startswith("next: evenhand export planted ")
    *command, _ = following.removeprefix("next: evenhand ").split()
    exported = evenhand(*command, tmp_path / "edited", "--json")
    assert exported.code == 0, exported.err
    assert json.loads(exported.out)["evidence"] is True
    card = (tmp_path / "edited" / "README.md").read_text()
    assert "| loan |" in card
    assert "license: apache-2.0\n" in card, "the bundled model's own card states it"


def test_a_miniature_is_planted_and_said_in_json(evenhand, tmp_path):
    (tmp_path / "small.toml").write_text(SCENARIO)
    (tmp_path / "spec.toml").write_text(SPEC.replace("SCENARIO", str(tmp_path / "small.toml")))
    said = evenhand("plant", tmp_path / "spec.toml", tmp_path / "out", "--json")
    assert said.code == 0, said.err
    record = json.loads(said.out)
    assert record["model"] == str(tmp_path / "out" / "model")
    truth = json.loads((tmp_path / "out" / "truth.json").read_text())
    assert {c: gap["asked_for"] for c, gap in record["gaps"].items()} == truth["spec"]
    assert {c: gap["measured"] for c, gap in record["gaps"].items()} == truth["measured"]
    plain = evenhand("plant", tmp_path / "spec.toml", tmp_path / "out")
    assert plain.code == 0, plain.err
    assert f"model: {tmp_path / 'out' / 'model'}" in plain.out
    assert "  hire: asked for 0.4, measured " in plain.out
