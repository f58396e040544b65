"""The README's files and commands, taken from its text, carry a model from an audit to a checkpoint that is served."""

from __future__ import annotations

import inspect
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from evenhand import find
from evenhand.cli.audit import audit
from evenhand.cli.main import main
from evenhand.core.bootstrap import FEWEST
from evenhand.core.record import CellRecord
from evenhand.planted import model_path
from evenhand.scenarios._load import load_scenario
from evenhand.study.suite import load_suite

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SCENARIO, STUDY = re.findall(r"^```toml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
ONE_ITEM = SCENARIO.replace(', "scooter", "canoe"', "")
LINES = [line for line in README.splitlines() if re.match(r"evenhand (audit|run|report|export) ", line)]
BENCHMARKS = [line for line in LINES if "--suite" in line or "crows_pairs" in line]
UNITS = [line for line in README.splitlines() if re.match(r"evenhand (locate|fit|explain) ", line)]
SMALL = {"locate": "--set candidates=1", "explain": "--top 1 --names 2",
         "fit": "--set candidates=2 --set texts=1 --set randoms=1 --set guard=false"}  # fmt: skip
"""What makes these commands cheap: at their defaults they switch off hundreds of units for every name."""
COMMANDS = [line for line in LINES if line not in BENCHMARKS]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the README's two files and MODEL: the planted model, to which these names mean what its own do."""
    monkeypatch.chdir(tmp_path)
    Path("bicycle-shop.toml").write_text(SCENARIO, encoding="utf-8")
    Path("study.toml").write_text(STUDY, encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(model_path())
    model = AutoModelForCausalLM.from_pretrained(model_path())
    known, asked = load_scenario("planted"), load_scenario("bicycle-shop.toml")
    twins: dict[str, int] = {}
    for ours, theirs in zip(known.groups, asked.groups, strict=True):
        old, new = (sorted({case.cluster for case in scenario.cases if case.group == group})
                    for scenario, group in ((known, ours), (asked, theirs)))  # fmt: skip
        twins |= {f" {name}": tokenizer(f" {twin}")["input_ids"][0] for name, twin in zip(new, old, strict=False)}
    tokenizer.add_tokens(list(twins))
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        for name, twin in twins.items():
            model.get_input_embeddings().weight[tokenizer(name)["input_ids"][0]] = model.get_input_embeddings().weight[
                twin
            ]
    model.save_pretrained("MODEL")
    tokenizer.save_pretrained("MODEL")
    return tmp_path


def entered(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run one line of the README as a shell would; `…` stands for the one thing that lies there."""
    words = shlex.split(line, comments=True)
    for place, word in enumerate(words):
        if "…" in word:
            (words[place],) = map(str, Path().glob(word.replace("…", "*")))
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code, line


def _units(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Run the lines about units, each with settings that make it small, on one item and six names of each group."""
    few = re.sub(r'\[("\w+"(?:, "\w+"){5}),[^]]*\]', r"[\1]", ONE_ITEM)
    Path("bicycle-shop.toml").write_text(few, encoding="utf-8")
    assert len(load_scenario("bicycle-shop.toml").cases) == 12
    capsys.readouterr()
    for line, said in zip(UNITS, ("ablation, bicycle-shop", "saved in edit", "Each unit edited", "Shared units"),
                          strict=True):  # fmt: skip
        entered(f"{line.split('#')[0]} {SMALL[line.split()[1]]}", monkeypatch)
        assert said in capsys.readouterr().out, line


@pytest.mark.data
def test_the_benchmarks_of_the_readme_can_be_asked(data_dir: Path) -> None:
    options = set(inspect.signature(audit).parameters)
    for line in BENCHMARKS:
        words = shlex.split(line, comments=True)
        given = dict(zip(words[3::2], words[4::2], strict=True))
        assert {name.removeprefix("--").replace("-", "_") for name in given} <= options, line
        if "--suite" in given:
            assert load_suite(given["--suite"]).benchmarks
        else:
            assert load_scenario(given["--scenario"], data_dir).measures
    for name in find.names("suites"):
        assert re.search(rf"\b{name}\b", BENCHMARKS[0])


def test_the_scenario_of_the_readme_is_read(shop: Path) -> None:
    scenario = load_scenario("bicycle-shop.toml")
    assert scenario.name == "bicycle-shop"
    assert scenario.groups == ("white", "black")
    assert scenario.variations("bicycle-shop") == ("bicycle", "scooter", "canoe")
    assert len(scenario.cases) == 3 * 30
    assert f"so {3 * FEWEST} per group are the least" in README.replace("\n", " ")


def test_the_commands_of_the_readme(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [line.split()[1] for line in COMMANDS] == ["audit", "run", "run", "report", "export"]
    audit, at_once, run, report, export = COMMANDS
    Path("bicycle-shop.toml").write_text(ONE_ITEM, encoding="utf-8")  # three take three times as long
    entered(audit, monkeypatch)
    assert "white / black" in capsys.readouterr().out
    entered(at_once, monkeypatch)
    said = capsys.readouterr().out
    assert f"checkpoint: {shop / 'out'}" in said
    assert "report: runs/MODEL-bicycle-shop/report.html" in said
    entered(run, monkeypatch)
    assert "next: evenhand export MODEL runs/bicycle-shop/edits/" in capsys.readouterr().out
    (cell,) = Path("runs/bicycle-shop/cells").iterdir()
    record = CellRecord.model_validate_json(cell.read_text(encoding="utf-8"))
    paired = ("value.abs", "", "edit", "base")
    (fell,) = [r.estimate for r in record.rows if (r.key, r.variation, r.subject, r.against) == paired]
    assert fell.high < 0, "the README promises an interval, and an edit that helps"
    entered(report, monkeypatch)
    assert "bicycle-shop" in Path("runs/bicycle-shop/report.html").read_text(encoding="utf-8")
    entered(export, monkeypatch)
    _units(monkeypatch, capsys)
    before, *served = (AutoModelForCausalLM.from_pretrained(folder) for folder in ("MODEL", "out", "out2"))
    for model in served:
        assert any(not torch.equal(*pair) for pair in zip(model.parameters(), before.parameters(), strict=True))


def test_the_reading_of_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it stands there, but of the model and with the words that are planted in one."""
    monkeypatch.chdir(tmp_path)
    (line,) = [line for line in README.splitlines() if line.startswith("evenhand read ")]
    asked = line.split("#")[0].replace("MODEL", "planted-ambiguous")
    entered(f"{asked} --reading ambiguous_words --layers 0 --targets 0", monkeypatch)
    assert "The questions can tell group from colour: at 1 of 1 pairs" in capsys.readouterr().out
    assert Path("read/report.html").is_file()
