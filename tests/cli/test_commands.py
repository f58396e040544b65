"""Each command on a tiny model: what it prints, what it writes, and how it ends."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from safetensors import safe_open

from evenhand import find
from evenhand.edits._file import load
from evenhand.study import engine
from evenhand.study.store import read_run


def test_audit_prints_a_table_per_context(evenhand, shop):
    said = evenhand("audit", shop / "model", "-s", shop / "shop.toml", "--replicates", 50, "--variations")
    assert said.code == 0
    assert said.out.startswith("bus: the model does not do the task")
    assert "gap (sd)" in said.out
    assert "mean of all" in said.out
    assert "\nlamp: " in said.out


def test_audit_takes_a_measure_of_your_own(evenhand, shop, tmp_path):
    own = tmp_path / "accuracy.py"
    own.write_text((Path(find.__file__).parent / "measures" / "accuracy.py").read_text())
    said = evenhand("audit", shop / "model", "-s", shop / "shop.toml", "--replicates", 50, "--measure", own)
    assert said.code == 0, said.err
    assert f"\n{own}\n  context  groups  key    value" in said.out
    assert "\n  lamp     a / b   value  " in said.out
    wrong = evenhand("audit", shop / "model", "-s", shop / "shop.toml", "--measure", "accurcy")
    assert wrong.code == 2
    assert "did you mean 'accuracy'?" in wrong.err


def test_audit_json_is_alone_on_stdout_and_gates(evenhand, shop, tmp_path):
    asked = ("audit", shop / "model", "-s", shop / "shop.toml", "--replicates", 50, "--json", "-c", "lamp")
    silent = evenhand(*asked, "--fail-over", 50, "--junit", tmp_path / "j.xml")
    assert silent.code == 3, "a model that does not do the task has not passed"
    assert "no number to judge in lamp" in silent.err
    record = json.loads(silent.out)
    assert {row["context"] for row in record["rows"]} == {"lamp"}
    assert [finding["outcome"] for finding in record["findings"]] == ["no_answer"]
    assert ElementTree.parse(tmp_path / "j.xml").getroot().get("errors") == "1"


def test_mistakes_name_what_is_wrong(evenhand, shop, tmp_path):
    model, scenario = shop / "model", shop / "shop.toml"
    for code, text, args in (
        (2, "there is no context", ()),
        (2, "has no context 'lmp'; did you mean 'lamp'?", ("audit", model, "-s", scenario, "-c", "lmp")),
        (2, "unknown name 'name_adit'; did you mean 'name_audit'?", ("audit", model, "-s", "name_adit")),
        (2, "give the limit with --fail-over", ("audit", model, "-s", scenario, "--junit", "x.xml")),
        (3, "there is no such folder", ("audit", "/nowhere/model", "-s", scenario)),
        (3, "cannot be loaded", ("audit", tmp_path, "-s", scenario)),
        (2, "unknown name 'contrst'; did you mean 'contrast'?", ("locate", model, "-s", scenario, "-l", "contrst")),
        (
            2,
            "'contrast' has no setting 'spac'; did you mean 'space'?",
            ("locate", model, "-s", scenario, "--set", "spac=head"),
        ),
        (2, "asked for 9999 units of a space of", ("locate", model, "-s", scenario, "--top", 9999)),
        (2, "write key=value", ("fit", model, "-s", scenario, "--set", "units", "--out", tmp_path / "e")),
        (2, "expected a folder with edit.json", ("export", model, tmp_path, tmp_path / "out")),
        (2, "is not a run folder", ("report", tmp_path)),
        (2, "cannot be read", ("run", tmp_path / "absent.toml")),
    ):
        if args:
            said = evenhand(*args)
            assert (said.code, said.out) == (code, ""), said
            assert text in said.err
            assert said.err.startswith("evenhand: ")
            assert "Traceback" not in said.err


def test_locate_shows_and_saves_scores(evenhand, shop, tmp_path):
    args = (
        "locate",
        shop / "model",
        "-s",
        shop / "shop.toml",
        "-c",
        "lamp",
        "--top",
        5,
        "--out",
        tmp_path / "s.safetensors",
    )
    said = evenhand(*args)
    assert said.code == 0
    assert "5 of 144 neuron units (3.472%)" in said.out
    with safe_open(tmp_path / "s.safetensors", "pt") as file:
        assert file.get_tensor("scores").shape == (144,)
        assert json.loads(file.metadata()["about"])["locator"] == "contrast"
    again = evenhand(*args, "--json")
    assert (again.code, again.out) == (2, ""), "what is there is not replaced unasked"
    found = json.loads(evenhand(*args, "--json", "--replace").out)
    assert len(found["units"]) == 5
    scores = [unit["score"] for unit in found["units"]]
    assert scores == sorted(scores, reverse=True)
    assert sum(found["per_layer"].values()) == 5


def test_fit_saves_an_edit_and_export_bakes_it(evenhand, shop, tmp_path):
    said = evenhand("fit", shop / "model", "-s", shop / "shop.toml", "-m", "random", "--set", "seed=3", "--units", 4,
                    "--utility", shop / "texts.toml", "--out", tmp_path / "edit")  # fmt: skip
    assert said.code == 0, said.err
    assert "switches off 4 of 144 neuron units" in said.out
    assert "\n4 of 144 neuron units (2.778%); " in said.out
    saved = load(tmp_path / "edit")
    assert len(saved.unchecked.selection) == 4
    assert saved.provenance["settings"] == {"seed": 3}
    baked = evenhand("export", shop / "model", tmp_path / "edit", tmp_path / "baked")
    assert baked.code == 0, baked.err
    assert (tmp_path / "baked" / "config.json").is_file()


def test_what_a_method_says_of_its_choice_is_kept_with_the_edit(evenhand, shop, tmp_path):
    (tmp_path / "talks.py").write_text(
        "from dataclasses import dataclass\nfrom evenhand.methods.random import Random\n\n\n"
        "@dataclass(frozen=True)\nclass Talks(Random):\n    def fit(self, lm, bias, utility):\n"
        '        lm.notify("talks: unit 3 is general")\n        return super().fit(lm, bias, utility)\n'
    )
    said = evenhand("fit", shop / "model", "-s", shop / "shop.toml", "-m", tmp_path / "talks.py", "--utility",
                    shop / "texts.toml", "--out", tmp_path / "edit")  # fmt: skip
    assert said.code == 0, said.err
    assert "talks: unit 3 is general" in said.err
    assert load(tmp_path / "edit").provenance["notes"] == ["talks: unit 3 is general"]


def test_layers_keep_units_of_those_layers_only(evenhand, shop, tmp_path):
    asked = (shop / "model", "-s", shop / "shop.toml", "-c", "lamp")
    fit = ("fit", *asked, "-m", "random", "--units", 60, "--utility", shop / "texts.toml", "--json")
    whole = json.loads(evenhand(*fit, "--out", tmp_path / "all").out)["per_layer"]
    kept = json.loads(evenhand(*fit, "--layers", "1", "--out", tmp_path / "one").out)["per_layer"]
    assert [n for name, n in kept.items() if n] == [whole[next(name for name, n in kept.items() if n)]]
    assert len(load(tmp_path / "one").unchecked.selection) == sum(kept.values()) < 60
    found = json.loads(evenhand("locate", *asked, "--top", 144, "--layers", "0", "--json").out)
    assert 0 < len(found["units"]) < 144
    assert next(n > 0 for n in found["per_layer"].values())
    assert sum(n > 0 for n in found["per_layer"].values()) == 1
    for text, reason in (("99", "there is no layer 99"), ("a", "such as --layers 2,3")):
        said = evenhand("locate", *asked, "--layers", text)
        assert (said.code, said.out) == (2, "")
        assert reason in said.err


def test_a_study_runs_reports_and_resumes(evenhand, shop, tmp_path):
    first = evenhand("run", shop / "study.toml", "--out", tmp_path / "run")
    assert first.code == 0, first.err
    assert "[1/1] random on lamp" in first.err
    assert f"report: {tmp_path / 'run' / 'report.html'}" in first.out
    assert "the unedited model does not do this task" in first.out
    again = evenhand("run", shop / "study.toml", "--out", tmp_path / "run", "--json")
    assert "was there already" in again.err
    cell = json.loads(again.out)["cells"][0]
    assert {entry["context"]: entry["judged"] for entry in cell["transfer"]} == {"bus": False, "lamp": True}
    assert cell["verdict"] == "no_answer"
    run, cells = read_run(tmp_path / "run")
    assert [ref.hash for ref in run.cells] == [cell["hash"]]
    assert cells[0].rule
    page = evenhand("report", tmp_path / "run")
    assert page.code == 0, page.err
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_model_and_a_scenario_are_all_a_run_needs(evenhand, shop, tmp_path):
    asked = ("run", shop / "model", "-s", shop / "shop.toml", "-c", "lamp", "-m", "random", "--utility",
             shop / "texts.toml", "--seed", 2, "--out", tmp_path / "run", "--export", tmp_path / "model")  # fmt: skip
    said = evenhand(*asked, "--json")
    assert said.code == 0, said.err
    assert "no checkpoint: no edit that weights can hold is shown to lower a gap" in said.err
    assert not (tmp_path / "model").exists()
    document = json.loads(said.out)
    assert (document["best"], document["checkpoint"]) == (None, None)
    assert Path(document["report"]).read_text(encoding="utf-8").startswith("<!doctype html>")
    (cell,) = document["cells"]
    assert (cell["fitted_on"], cell["method"], cell["seed"]) == (["lamp"], "random", 2)
    run, _ = read_run(tmp_path / "run")
    assert run.name == "model-shop"
    assert run.config["models"][0]["chat"] is None


def test_what_is_run_is_a_study_or_a_model_with_a_scenario(evenhand, shop):
    for args, reason in (
        ((shop / "model",), "no study file (.toml); to edit a model for one use case, name that too"),
        ((shop / "shop.toml",), "is a scenario, not a study; to run it on a model: evenhand run MODEL --scenario"),
        (
            (shop / "study.toml", "-c", "lamp"),
            "--context goes with MODEL --scenario; what a study does stands in its file",
        ),
        ((shop / "study.toml", "--seed", 0), "--seed goes with MODEL --scenario"),
        ((shop / "study.toml", "--no-chat"), "--chat goes with MODEL --scenario"),
        ((shop / "study.toml", "--trust-remote-code"), "--trust-remote-code goes with MODEL --scenario"),
        ((shop / "study.toml", "--dtype", "float32"), "--dtype goes with MODEL --scenario"),
        ((shop / "study.toml", "-s", shop / "shop.toml"), "is a study, which names its scenario itself"),
        ((shop / "study.toml", "--export", shop), "is there already and not empty; give --export a new folder"),
        ((shop / "model", "-s", shop / "shop.toml", "-c", "lmp"), "no context 'lmp'; did you mean 'lamp'?"),
        ((shop / "model", "-s", shop / "shop.toml", "-m", "contrst"), "did you mean 'contrast'?"),
    ):
        said = evenhand("run", *args)
        assert (said.code, said.out) == (2, ""), said.err
        assert reason in said.err


def test_fit_does_not_write_over_what_is_there(evenhand, shop, tmp_path):
    fit = ("fit", shop / "model", "-s", shop / "shop.toml", "-m", "random", "--utility", shop / "texts.toml",
           "--units", 3, "--out", tmp_path)  # fmt: skip
    (tmp_path / "mine.txt").write_text("kept")
    said = evenhand(*fit)
    assert said.code == 2
    assert "not empty; give another --out, or say --replace" in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert evenhand(*fit, "--replace").code == 0
    one = [evenhand(*fit[:-3], 1, "--out", tmp_path / str(layer), "--layers", layer) for layer in (0, 1)]
    assert sorted(said.code for said in one) == [0, 3], "one unit lies in one of the two layers"
    assert "found no unit worth switching off in shop; no edit is saved" in max(one, key=lambda said: said.code).err
    assert sum((tmp_path / layer).exists() for layer in "01") == 1


def test_ctrl_c_says_how_to_go_on(evenhand, shop, tmp_path, monkeypatch):
    def interrupted(bench, spec):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "run_cell", interrupted)
    said = evenhand("run", shop / "study.toml", "--out", tmp_path / "run")
    assert (said.code, said.out) == (130, "")
    assert "Run the same command again" in said.err
    assert not (tmp_path / "run" / "cells").exists()


def test_a_model_with_a_chat_template_asks_which(evenhand, shop, tmp_path):
    import shutil

    shutil.copytree(shop / "model", tmp_path / "chatty")
    config = json.loads((tmp_path / "chatty" / "tokenizer_config.json").read_text())
    config["chat_template"] = "{% for m in messages %}{{ m.content }}{% endfor %}"
    (tmp_path / "chatty" / "tokenizer_config.json").write_text(json.dumps(config))
    args = ("audit", tmp_path / "chatty", "-s", shop / "shop.toml", "-c", "bus", "--replicates", 20, "--json")
    asked = evenhand(*args)
    assert asked.code == 2
    assert "say --chat" in asked.err
    assert json.loads(evenhand(*args, "--chat").out)["model"]["chat"] is True
    assert json.loads(evenhand(*args, "--no-chat").out)["model"]["chat"] is False


@pytest.mark.parametrize(("text", "value"), [("a=1", 1), ("a=0.5", 0.5), ("a=true", True), ("a=head", "head"),
                                             ("a=[1, 2]", [1, 2]), ('a="x=y"', "x=y")])  # fmt: skip
def test_settings_are_read_as_toml_or_text(text, value):
    from evenhand.cli.options import setting

    assert setting(text) == ("a", value)
