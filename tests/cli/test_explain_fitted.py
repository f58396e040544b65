"""Which cases `evenhand explain` reads: those the edit was fitted on, or others, and what it says of them."""

import json

from evenhand.edits._file import load as saved_in
from evenhand.study.bench import Bench


def test_no_name_that_a_sampled_study_fitted_on_is_explained(evenhand, shop, tmp_path, monkeypatch):
    """Of one group 6 of 22 names are asked; their parts are not those of all names."""
    scenario, study, run = tmp_path / "own.toml", tmp_path / "study.toml", tmp_path / "run"
    text = (shop / "shop.toml").read_text().replace('name = "shop"', 'name = "own"')
    more = ", ".join(f'"{first}{last}"' for first in ("Ann", "Bo", "Eve", "Al") for last in ("a", "ie", "y", "on"))
    scenario.write_text(text.replace('"Al"]', f'"Al", {more}]'))
    sampled_study = (shop / "study.toml").read_text().replace(str(shop / "shop.toml"), str(scenario))
    sampled_study = sampled_study.replace("sizes = [1, 16]", 'sizes = "paper"\nseeds = [3, 4]\nunits_explained = 0')
    study.write_text(sampled_study.replace("[bootstrap]", "[sample]\nclusters = 6\n[bootstrap]"))
    fitted = {}

    def heard(self, scenario, part, seed, plain=Bench.part):
        found = plain(self, scenario, part, seed)
        if scenario is self.scenario:
            fitted.setdefault((seed, part), set()).update(case.name for case in found.cases)
        return found

    monkeypatch.setattr(Bench, "part", heard)
    assert evenhand("run", study, "--out", run).code == 0
    explained = []
    monkeypatch.setattr("evenhand.study.explanation.explain", lambda ground, edit, top: explained.append(ground) or [])
    for folder in (run / "edits").iterdir():
        evenhand("explain", folder)
        ground, seed = explained[-1], saved_in(folder).provenance["seed"]
        names = {case.name for case in ground.bias.cases}
        assert not names & (fitted[seed, "fit"] | fitted[seed, "choose"])
        assert names == fitted[seed, "report"]
        assert "none of which it was fitted on" in ground.names
    assert len(explained) == 2


def test_the_scenario_is_the_one_of_its_fingerprint_or_said_to_be_another(evenhand, shop, tmp_path, monkeypatch):
    """A file of the same name as a bundled scenario is found behind it; a changed one is no longer fitted on."""
    explained = []
    monkeypatch.setattr("evenhand.study.explanation.explain", lambda ground, edit, top: explained.append(ground) or [])
    monkeypatch.chdir(tmp_path)

    def said(*args):
        assert evenhand("explain", "edit", "--utility", shop / "texts.toml", *args).code == 3, "nothing is told here"
        return explained[-1].names

    own, edit = tmp_path / "planted.toml", tmp_path / "edit"
    own.write_text((shop / "shop.toml").read_text().replace('name = "shop"', 'name = "planted"'))
    fit = (
        "fit",
        shop / "model",
        "-s",
        own,
        "-c",
        "bus",
        "-m",
        "random",
        "--units",
        1,
        "--utility",
        shop / "texts.toml",
    )
    assert evenhand(*fit, "--out", edit).code == 0
    for args in ((), ("-s", own), ("-c", "lamp")):
        assert said(*args).startswith("It was fitted on these names")
        assert {case.name for case in explained[-1].bias.cases} >= {"Maria", "Hal"}
        assert [context.name for context in explained[-1].bias.contexts] == ["lamp" if "-c" in args else "bus"]
    own.write_text(own.read_text().replace('"Maria"', '"Mary"'))
    assert said("-s", own).startswith("This scenario 'planted' is not the one it was fitted on: their fingerprints")
    assert said("-s", shop / "shop.toml") == "It was fitted on another scenario."
    assert "is not the one it was fitted on" in said(), "the bundled one has no such context"
    record = json.loads((edit / "edit.json").read_text())
    del record["provenance"]["scenario_fingerprint"]
    (edit / "edit.json").write_text(json.dumps(record))
    assert said("-s", own).startswith("Its record does not say on which cases")


def test_a_changed_scenario_of_a_study_is_said_to_be_another(evenhand, shop, tmp_path, monkeypatch):
    scenario, study, run = tmp_path / "own.toml", tmp_path / "study.toml", tmp_path / "run"
    scenario.write_text((shop / "shop.toml").read_text())
    text = (shop / "study.toml").read_text().replace(str(shop / "shop.toml"), str(scenario))
    study.write_text(text.replace("sizes = [1, 16]", 'sizes = "paper"\nunits_explained = 0'))
    assert evenhand("run", study, "--out", run).code == 0
    (folder,) = (run / "edits").iterdir()
    explained = []
    monkeypatch.setattr("evenhand.study.explanation.explain", lambda ground, edit, top: explained.append(ground) or [])
    for args in ((), ("-s", scenario)):
        evenhand("explain", folder, *args)
        assert "none of which it was fitted on" in explained[-1].names
    scenario.write_text(scenario.read_text().replace('"Maria"', '"Mary"'))
    evenhand("explain", folder)
    assert "is not the one it was fitted on" in explained[-1].names
    assert len({case.name for case in explained[-1].bias.cases}) == 12
