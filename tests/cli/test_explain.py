"""`evenhand explain`: the planted carrier is found by what it does alone; runs and scores are compared; mistakes."""

import json
import re
from pathlib import Path

import pytest
import torch

from evenhand.cli.explained import tell
from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun
from evenhand.core.explained import Explanation, Overlap
from evenhand.edits._file import load as saved_in
from evenhand.edits._file import save
from evenhand.edits.scale import Scale
from evenhand.lm.load import load
from evenhand.planted import model_path, truth
from evenhand.scenarios._load import load_scenario
from evenhand.study.ground import Depth, Ground
from evenhand.study.utility import together
from evenhand.study.whole import whole

LOAN = load_scenario("planted").only(["loan"])
ABOUT = {"scenario": "planted", "fitted_on": ["loan"], "scenario_fingerprint": LOAN.fingerprint}


@pytest.fixture(scope="module")
def planted():
    """The bundled model's identity, and two of its units: a carrier of the gap in `loan`, and one that is none."""
    lm = load(model_path())
    layout = lm.layout("neuron")
    carrier = Selection.of(layout, [3 * 352 + 107])
    known = truth()
    loan = known.carriers("loan")
    assert loan is not None
    assert len(loan & carrier) == 1
    other = Selection.of(layout, [3 * 352 + 111])
    assert not len(known.selection & other)
    return lm.identity.to_json(), carrier, other


def test_the_planted_carrier_closes_the_gap_and_a_random_unit_does_not(evenhand, planted, tmp_path):
    identity, carrier, other = planted
    save(Scale(carrier | other), tmp_path / "edit", identity, ABOUT)
    save(Scale(other), tmp_path / "other", identity, ABOUT)
    said = evenhand("explain", tmp_path / "edit", "--utility", "planted_text", "--names", 4, "--json", "--against",
                    tmp_path / "other", "--out", tmp_path / "page.html")  # fmt: skip
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert set(found) == {"edit", "parts", "overlap", "page"}
    (part,) = [Explanation.model_validate(each) for each in found["parts"]]
    assert part.contexts == ("loan",)
    first, second = part.units
    assert (first.layer, first.unit) == (3, 107)
    (gap,) = first.effects
    assert (gap.context, gap.other) == ("loan", "southmere")
    assert gap.before > 0.5
    assert gap.change < -0.3
    assert abs(second.change) < 0.1
    assert part.random_change < 0.1
    assert first.differences["southmere"].excludes()
    assert first.drivers[0].token == " lend"
    assert first.positive < 0.5
    assert first.pushes == (first.suppresses, first.promotes)
    (pair,) = Overlap.model_validate(found["overlap"]).pairs
    assert (pair.both, pair.jaccard) == (1, 0.5)
    page = (tmp_path / "page.html").read_text()
    assert "layer 3, unit 107" in page
    assert "closes the gap by" in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_weight_edit_is_told_by_what_it_does_beside_a_random_one(evenhand, planted, tmp_path, capsys):
    identity, _, _ = planted
    layout = load(model_path()).layout("weight")
    pieces = [torch.arange(site.units).reshape(-1, 352)[:, [107]].flatten() if site.path.endswith("3.mlp.down_proj")
              else torch.arange(0) for site in layout.sites]  # fmt: skip
    save(Scale(Selection.joined(layout, pieces)), tmp_path / "edit", identity, ABOUT)
    said = evenhand("explain", tmp_path / "edit", "--utility", "planted_text", "--names", 4, "--json", "--out",
                    tmp_path / "page.html")  # fmt: skip
    assert said.code == 0, said.err
    (part,) = [Explanation.model_validate(each) for each in json.loads(said.out)["parts"]]
    (gap,), (beside,) = part.effects, part.control
    assert gap.change < -0.3
    assert abs(beside.change) < 0.1
    assert part.divergence > part.control_divergence >= 0
    assert part.names == 4
    assert part.read_on.startswith("It was fitted on these names, so the gaps are in-sample")
    page = (tmp_path / "page.html").read_text()
    assert "what it does to the gaps between groups, how far it moves the model on neutral text and where" in page
    assert "the text that drives" not in page
    assert "at most 4 names of each group" in page
    assert "a random edit of this size →" in page
    assert "Switches off 128 of " in page
    assert "Changed weights in each layer" in page
    assert "weight unit" not in page
    tell(tmp_path, [part], None, None, False)
    told = capsys.readouterr().out
    assert re.search(r"loan, gap to southmere: \+0\.\d+ → .* sd \(random edit of this size: \+0\.\d+\)", told)
    assert "Read on at most 4 names of each group and variation. It was fitted on these names" in told


@pytest.fixture
def small(shop, tmp_path):
    """An edit of the tiny model, as `fit` saves it."""

    def fit(evenhand, name, units=3, seed=0):
        out = tmp_path / name
        said = evenhand("fit", shop / "model", "-s", shop / "shop.toml", "-m", "random", "--units", units, "--set",
                        f"seed={seed}", "--utility", shop / "texts.toml", "--out", out)  # fmt: skip
        assert said.code == 0, said.err
        return out

    return fit


def test_the_table_names_units_effects_and_drivers(evenhand, small, shop):
    edit = small(evenhand, "edit")
    said = evenhand("explain", edit, "-s", shop / "shop.toml", "--utility", shop / "texts.toml", "--names", 2)
    assert said.code == 0, said.err
    assert "Each unit edited alone" in said.out
    assert "Where they are most active" in said.out
    assert "The largest of 8 random units of these layers" in said.out
    assert said.out.splitlines()[1].startswith("  bus, gap to b: ")


def test_mistakes_say_what_to_try(evenhand, small, shop, tmp_path):
    edit = small(evenhand, "edit")
    record = json.loads((edit / "edit.json").read_text())
    record["model"]["sha256"] = "0" * 64
    (edit / "edit.json").write_text(json.dumps(record))
    more = ("-s", shop / "shop.toml", "--utility", shop / "texts.toml")
    for code, text, args in (
        (2, "this edit was fitted on", ("explain", edit, *more, "--model", shop / "model")),
        (2, "expected a folder with edit.json", ("explain", tmp_path / "absent")),
        (2, "say where that is with --scenario", ("explain", edit)),
        (3, "say where it is with --model", ("explain", _moved(edit), *more)),
    ):
        said = evenhand(*args)
        assert (said.code, said.out) == (code, ""), said
        assert text in said.err, said.err


def test_out_is_looked_at_first_and_what_was_found_is_told_even_if_it_cannot_be_written(
    evenhand, small, shop, tmp_path, monkeypatch
):
    edit, page = small(evenhand, "edit", units=1), tmp_path / "page.html"
    page.write_text("mine")
    asked = ("explain", edit, "-s", shop / "shop.toml", "--utility", shop / "texts.toml", "--names", 2, "--out", page)
    with monkeypatch.context() as patched:
        patched.setattr("evenhand.cli.options.open_lm", lambda *_, **__: pytest.fail("a model was loaded"))
        for code, out, text in ((2, tmp_path, "is a folder"), (2, page, "--replace"), (3, page / "x", "cannot be")):
            said = evenhand(*asked[:-1], out)
            assert (said.code, said.out) == (code, ""), said
            assert text in said.err, said.err
    assert page.read_text() == "mine"
    with monkeypatch.context() as patched:
        patched.setattr("evenhand.report.render_explanation", _full_disk)
        said = evenhand(*asked, "--replace")
    assert said.code == 3
    assert "the disk is full" in said.err
    assert "Each unit edited alone" in said.out
    assert page.read_text() == "mine"


def _full_disk(*_):
    raise CannotRun("the disk is full")


def test_a_run_whose_edits_share_no_space_names_them(evenhand, shop, tmp_path):
    study = tmp_path / "study.toml"
    more = '[[methods]]\nname = "random"\nsettings = { space = "head" }\n[bootstrap]'
    text = (shop / "study.toml").read_text().replace("sizes = [1, 16]", 'sizes = "paper"\nunits_explained = 0')
    study.write_text(text.replace("[bootstrap]", more))
    assert evenhand("run", study, "--out", tmp_path / "run").code == 0
    said = evenhand("explain", tmp_path / "run", "--out", tmp_path / "page.html")
    assert (said.code, said.out) == (3, "")
    assert "random on lamp, seed 0 (neuron units); random on lamp, seed 0 (head units)" in said.err
    (path,) = re.findall(r"`evenhand explain (\S+)`", said.err)
    assert (Path(path) / "edit.json").is_file()
    assert not (tmp_path / "page.html").exists()


def test_scores_and_an_edit_of_different_spaces_are_each_named_with_theirs(evenhand, shop, small, tmp_path):
    edit, paths = small(evenhand, "edit"), [tmp_path / "values.safetensors", tmp_path / "rows.safetensors"]
    for path, space in zip(paths, ("value", "row"), strict=True):
        args = ("locate", shop / "model", "-s", shop / "shop.toml", "-l", "random", "--set", f"space={space}")
        assert evenhand(*args, "--out", path).code == 0
    said = evenhand("explain", paths[0], "--against", edit)
    assert (said.code, said.out) == (3, "")
    assert f"{paths[0]} (scores of value units); {edit} (neuron units)" in said.err
    assert f"`evenhand explain {edit}`" in said.err
    said = evenhand("explain", paths[0], "--against", paths[1])
    assert f"{paths[0]} (scores of value units); {paths[1]} (scores of row units)" in said.err
    assert "`evenhand explain" not in said.err
    said = evenhand("explain", edit, "-s", shop / "shop.toml", "--utility", shop / "texts.toml", "--against", paths[1])
    assert said.code == 0, said.err
    assert f"{edit} (neuron units); {paths[1]} (row units)" in said.out


def _moved(edit):
    """The same edit, whose record names a model that is not there any more."""
    record = json.loads((edit / "edit.json").read_text())
    record["model"]["source"] = "/nowhere/model"
    (edit / "edit.json").write_text(json.dumps(record))
    return edit


def test_a_run_and_scores_are_compared_without_a_model(evenhand, shop, tmp_path):
    run, scores = tmp_path / "run", [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    study = tmp_path / "study.toml"
    more = 'sizes = "paper"\nseeds = [0, 1]\nunits_explained = 0'
    text = (shop / "study.toml").read_text().replace("sizes = [1, 16]", more)
    study.write_text(text)
    assert evenhand("run", study, "--out", run).code == 0
    for path, locator in zip(scores, ("contrast", "activation_norm"), strict=True):
        args = ("locate", shop / "model", "-s", shop / "shop.toml", "-c", "lamp", "-l", locator, "--out", path)
        assert evenhand(*args).code == 0
    said = evenhand("explain", run, "--json", *(x for path in scores for x in ("--against", path)))
    assert said.code == 0, said.err
    found = Overlap.model_validate(json.loads(said.out)["overlap"])
    assert found.edits[0].startswith("random on lamp, seed 0")
    assert {(pair.a, pair.b) for pair in found.pairs} == {(0, 1), (0, 2), (0, 3), (1, 2), (1, 3)}
    assert [(a, b) for a, b, _ in found.correlations] == [(2, 3)]
    assert -1 <= found.correlations[0][2] <= 1
    written = Overlap.model_validate_json((run / "overlap.json").read_bytes())
    assert written.pairs == found.pairs[:1]
    assert "Shared units" in evenhand("explain", run).out
    alone = evenhand("explain", scores[0])
    assert alone.code == 3
    assert "nothing to compare it with" in alone.err
    assert evenhand("explain", run, "--context", "lamp").code == 2
    folder = next((run / "edits").iterdir())
    inside = evenhand("explain", folder, "--names", 50, "--top", 1, "--json")
    assert inside.code == 0, inside.err
    (part,) = json.loads(inside.out)["parts"]
    saved = saved_in(folder)
    shown = Explanation.model_validate(part)
    assert "none of which it was fitted on" in shown.read_on
    lamp = load_scenario(str(shop / "shop.toml")).only(["lamp"])
    kept = lamp.part("report", saved.provenance["seed"])
    assert len(kept.cases) < len(lamp.cases)
    texts = together([str(shop / "texts.toml")])
    ground = Ground(load(shop / "model"), kept, texts, Depth(names=50))
    assert whole(ground, saved.unchecked)["effects"][0].before == pytest.approx(shown.effects[0].before, abs=1e-5)
    everything = Ground(ground.lm, lamp, texts, Depth(names=50))
    assert whole(everything, saved.unchecked)["effects"][0].before != pytest.approx(shown.effects[0].before, abs=1e-3)
