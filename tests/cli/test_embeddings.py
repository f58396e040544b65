"""Word association tests from the command line, on a causal model and on an encoder without head."""

import json

import pytest

ASKED = ("-s", "weat", "-c", "9-mental-physical-disease", "--replicates", 50, "--json")
pytestmark = pytest.mark.usefixtures("word_sets")


def _value(said):
    assert said.code == 0, said.err
    (benchmark,) = json.loads(said.out)["benchmarks"]
    (row,) = [row for row in benchmark["rows"] if row["key"] == "value"]
    return row["estimate"]["value"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_layer_and_pooling_are_chosen(evenhand, shop):
    model = shop / "model"
    values = [
        _value(evenhand("audit", model, *ASKED, *more))
        for more in ((), ("--layer", 0), ("--layer", -1), ("--pooling", "mean"), ("--pooling", "last"))
    ]
    assert values[0] == values[4]
    assert len(set(values)) == 4
    said = evenhand("audit", model, *ASKED, "--layer", 9)
    assert (said.code, said.out) == (2, "")
    assert "there is no layer 9: the blocks of" in said.err
    over = evenhand("audit", model, *ASKED, "--fail-over", 0.001, "--seed", 1)
    document = json.loads(over.out)
    (finding,) = document["findings"]
    (estimate,) = [row["estimate"] for row in document["benchmarks"][0]["rows"] if row["key"] == "value"]
    beyond = estimate["low"] > 0.001 or estimate["high"] < -0.001
    assert (over.code, finding["outcome"]) == ((1, "over") if beyond else (0, "unsure"))


def test_an_encoder_takes_the_test_and_refuses_others(evenhand, encoder_dir):
    assert -2 < _value(evenhand("audit", encoder_dir, *ASKED)) < 2
    said = evenhand("audit", encoder_dir, "-s", "facts", "--measure", "accuracy")
    assert (said.code, said.out) == (3, "")
    assert "is an encoder without language-model head: it predicts no tokens" in said.err
