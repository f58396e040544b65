"""How a command opens its model: the options are the same everywhere, and what they choose is what happens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import dynamic_module_utils

OWN_CODE = """
from pathlib import Path
from transformers import LlamaForCausalLM

(Path(__file__).parent / "was_run").touch()

class Own(LlamaForCausalLM):
    pass
"""


@pytest.mark.parametrize("command", ["audit", "locate", "fit", "export"])
def test_every_command_that_opens_a_model_opens_it_the_same_ways(evenhand, command):
    said = evenhand(command, "--help").out
    for option in ("--dtype", "--device ", "--device-map", "--revision", "--trust-remote-code"):
        assert option in said
    assert "float32|bfloat16|float16|auto" in said


def _rows(said):
    assert said.code == 0, said.err
    return json.loads(said.out)["rows"]


def test_a_device_map_is_a_word_or_json(evenhand, shop):
    asked = ("audit", shop / "model", "-s", shop / "shop.toml", "-c", "bus", "--replicates", 20, "--json")
    plain = _rows(evenhand(*asked))
    assert _rows(evenhand(*asked, "--device-map", "auto")) == plain
    assert _rows(evenhand(*asked, "--device-map", '{"": "cpu"}')) == plain
    for text, code, reason in (
        ('{"": cpu}', 2, "is not valid JSON"),
        ("atuo", 3, "'auto', 'balanced'"),
        ('{"": "nowhere"}', 3, "its weights cannot be loaded"),
    ):
        said = evenhand(*asked, "--device-map", text)
        assert (said.code, said.out) == (code, ""), said
        assert reason in said.err
    both = evenhand(*asked, "--device", "cpu", "--device-map", "auto")
    assert both.code == 2
    assert "either a device or a device_map" in both.err


def test_fit_edits_by_activation_and_export_takes_the_options_too(evenhand, shop, tmp_path):
    fitted = evenhand("fit", shop / "model", "-s", shop / "shop.toml", "-m", "random", "--set", "mechanism=activation",
                      "--utility", shop / "texts.toml", "--out", tmp_path / "edit", "--device-map", "auto")  # fmt: skip
    assert fitted.code == 0, fitted.err
    assert json.loads((tmp_path / "edit" / "edit.json").read_text())["settings"]["mechanism"] == "activation"
    baked = evenhand("export", shop / "model", tmp_path / "edit", tmp_path / "out", "--device-map", "auto",
                     "--licence", "Apache-2.0", "--json")  # fmt: skip
    assert baked.code == 0, baked.err
    record = json.loads(baked.out)
    assert (record["checkpoint"], record["licence"], record["evidence"]) == (
        str(tmp_path / "out"), "Apache-2.0", False
    )  # fmt: skip
    assert record["difference"] == 0 < record["effect"]
    assert "license: apache-2.0\n" in (tmp_path / "out" / "README.md").read_text()
    plain = evenhand("export", shop / "model", tmp_path / "edit", tmp_path / "out", "--replace")
    assert plain.out.endswith("licence: unknown: ask the maker of the base model\n")
    wrong = evenhand("fit", shop / "model", "-s", shop / "shop.toml", "--set", "mechanism=acivation", "--out", "e")
    assert wrong.code == 2
    assert "did you mean 'activation'? (input should be 'weight' or 'activation')" in wrong.err


def test_a_models_own_code_runs_only_when_trusted(evenhand, shop, tmp_path, monkeypatch):
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = tmp_path / "own"
    shutil.copytree(shop / "model", folder)
    (folder / "own.py").write_text(OWN_CODE)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModelForCausalLM": "own.Own"}}))

    def was_run() -> bool:
        return any(Path(tmp_path).rglob("was_run"))

    fit = ("fit", folder, "-s", shop / "shop.toml", "-m", "random", "--utility", shop / "texts.toml")
    assert evenhand(*fit, "--out", tmp_path / "edit").code == 0
    assert not was_run()
    trusted = evenhand("export", folder, tmp_path / "edit", tmp_path / "out", "--trust-remote-code")
    assert trusted.code == 0, trusted.err
    assert was_run()
    assert (tmp_path / "out" / "own.py").is_file()
