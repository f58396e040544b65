"""What `fit` says of an edit that was trained."""

import json

import pytest

from evenhand.edits._file import load


@pytest.fixture
def fit(evenhand, shop, tmp_path):
    """Fit by unlearning with these settings."""

    def run(*more, **settings):
        given = [f"{key}={value}" for key, value in settings.items()]
        return evenhand("fit", shop / "model", "-s", shop / "shop.toml", "-c", "lamp", "-m", "unlearning", "--utility",
                        shop / "texts.toml", "--out", tmp_path / "edit", *more,
                        *(word for each in given for word in ("--set", each)))  # fmt: skip

    return run


def test_an_edit_of_a_stopped_training_says_where_it_was_taken_and_why(fit, tmp_path):
    said = fit("--json", steps=30, lr=1e-3, every=1, budget=0.02, floor=100.0)
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert 0 < found["steps"] < 30
    assert found["notes"][-1].startswith("unlearning: training stopped after ")
    assert found["notes"][-1].endswith(f"rolled back to step {found['steps']}, the last good one")
    kept = load(tmp_path / "edit").provenance
    assert (kept["steps"], kept["training"]["best"]) == (found["steps"], found["steps"])
    assert kept["training"]["log"][0]["terms"].keys() == {"forget", "selected log p, less before training"}
    plain = fit("--replace", steps=2, lr=1e-4)
    assert "\ntaken after 2 of 2 training steps\n" in plain.out


def test_nothing_trained_is_no_edit(fit, tmp_path):
    said = fit("--json", steps=30, lr=1.0, every=1)
    assert (said.code, said.out) == (3, "")
    assert "unlearning: nothing was trained: stopped after 1 of 30 steps: " in said.err
    assert "rolled back to the model before training; no edit is saved" in said.err
    assert not (tmp_path / "edit").exists()
