"""Every locator works from the command line at its defaults, in the space it scores."""

import json
import re

import pytest

from evenhand import find
from evenhand.core.errors import EvenhandError
from evenhand.lm.load import load
from evenhand.testing.tiny import tiny_lm
from oracles.people import use_case


@pytest.mark.parametrize("name", find.names("locate"))
def test_at_its_defaults(evenhand, shop, name):
    space = find.build("locate", name).space
    said = evenhand("locate", shop / "model", "-s", shop / "shop.toml", "-c", "lamp", "-l", name, "--top", 3, "--json")
    assert said.code == 0, said.err
    assert len(json.loads(said.out)["units"]) == 3
    assert json.loads(said.out)["size"] == load(shop / "model").layout(space).size


def test_a_space_that_a_locator_does_not_score(evenhand, shop):
    asked = ("locate", shop / "model", "-s", shop / "shop.toml", "-l")
    said = evenhand(*asked, "name_attention", "--space", "neuron")
    assert (said.code, said.out) == (2, "")
    assert "use --space head" in said.err
    said = evenhand(*asked, "contrast", "--space", "neurons")
    assert (said.code, said.out) == (2, "")
    assert "setting space cannot be 'neurons'; did you mean 'neuron'?" in said.err
    assert json.loads(evenhand(*asked, "contrast", "--space", "head", "--top", 1, "--json").out)["size"] == 12


@pytest.mark.parametrize("name", find.names("locate"))
@pytest.mark.parametrize("space", ["neuron", "head", "value", "row", "weight"])
def test_every_space_is_scored_or_refused(name, space):
    lm, refused = tiny_lm("llama"), ""
    try:
        found = find.build("locate", name, {"space": space}).score(lm, use_case())
    except EvenhandError as error:
        refused = str(error)
    if refused:
        assert re.search("; (use|leave the space out)", refused)
        return
    assert found.layout == lm.layout(space)
    assert sum(len(piece) for piece in found.pieces()) == found.layout.size


def test_single_weights_are_shown_by_row_and_column_with_the_share_of_every_kind_of_matrix(evenhand, shop, tmp_path):
    asked = ("locate", shop / "model", "-s", shop / "shop.toml", "-c", "lamp", "-l", "wanda", "--top", 0.01)
    said = evenhand(*asked)
    assert said.code == 0, said.err
    size = load(shop / "model").layout("weight").size
    assert f"{size // 100:,} of {size:,} weights" in said.out
    assert "mlp.down_proj: " in said.out
    assert len(said.out.splitlines()) < 60
    units = json.loads(evenhand(*asked, "--json").out)["units"]
    assert len(units) == 50
    assert {"path", "unit", "row", "column", "score"} <= units[0].keys()
    assert units[0]["score"] == max(unit["score"] for unit in units)
    assert f"{units[0]['row']}, {units[0]['column']}  " in said.out.splitlines()[2]
    assert "promotes" not in said.out, "single weights write no words, and a column of nothing says nothing"
    few = evenhand(*asked[:-1], 4).out.splitlines()[-1]
    assert few.startswith(f"4 of {size:,} weights (0.0")
    assert not re.search(r" 0\.0+%", few), few


def test_out_is_looked_at_before_the_work(evenhand, shop, tmp_path, monkeypatch):
    """A folder, a place that cannot be written, a file that is there, scores that are not written: before a model."""
    (tmp_path / "there.safetensors").write_bytes(b"mine")
    asked = ("locate", shop / "model", "-s", shop / "shop.toml", "-c", "lamp", "--out")
    with monkeypatch.context() as patched:
        patched.setattr("evenhand.cli.options.open_lm", lambda *_, **__: pytest.fail("a model was loaded"))
        for code, out, text, more in (
            (2, tmp_path, "is a folder", ()),
            (2, tmp_path / "there.safetensors", "--replace", ()),
            (3, tmp_path / "there.safetensors" / "a.safetensors", "cannot be written", ()),
            (3, "/proc/a.safetensors", "cannot be written", ()),
            (2, tmp_path / "scores.safetensors", "evenhand fit", ("-l", "wanda")),
        ):
            said = evenhand(*asked, out, *more)
            assert (said.code, said.out) == (code, ""), said
            assert text in said.err, said.err
    assert (tmp_path / "there.safetensors").read_bytes() == b"mine"
    assert evenhand(*asked, tmp_path / "there.safetensors", "--replace").code == 0
    assert (tmp_path / "there.safetensors").stat().st_size > 100


def test_weights_are_fitted_from_the_command_line(evenhand, shop, tmp_path):
    said = evenhand("fit", shop / "model", "-s", shop / "shop.toml", "-c", "lamp", "-m", "weight_difference",
                    "--set", "modules=mlp", "--units", 40, "--out", tmp_path / "edit")  # fmt: skip
    assert said.code == 0, said.err
    assert "switches off 40 of " in said.out
    assert "self_attn" not in said.out, "nothing is switched off there"
    assert "mlp.down_proj: " in said.out
