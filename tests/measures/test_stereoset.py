"""StereoSet: the published scores from the published per-item scores, fillings against a slow oracle, both ends."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.measuring import point
from evenhand.core.readout import Readout
from evenhand.core.scenario import Context, Scenario
from evenhand.lm.read import read
from evenhand.measures.stereoset import Stereoset
from evenhand.testing.measures import Toy
from evenhand.testing.tiny import tiny_lm
from oracles import stereoset as oracle

# LMS / SS / ICAT of the notes on unlearning, equal to the file the authors published.
GOLDEN = {
    ("gpt2", "race"): (89.7567, 60.3500, 71.1771),
    ("gpt2", "religion"): (88.4598, 58.0230, 74.2655),
    ("gpt2-medium", "race"): (92.3554, 61.4409, 71.2229),
    ("gpt2-medium", "religion"): (90.4598, 62.5747, 67.7097),
    ("bert-base-cased", "race"): (83.8241, 56.2963, 73.2685),
    ("bert-base-cased", "religion"): (82.1609, 56.2759, 71.8483),
}


def _readout(items: list[tuple[str, float, float, float]]) -> Readout:
    """Items of (target term, log scores of stereotype, anti-stereotype, unrelated), one token each."""
    n = len(items)
    logp = torch.tensor([item[1:] for item in items], dtype=torch.float64)
    one = torch.ones(n, dtype=torch.float64)
    cases = tuple(
        Case(str(i), "", "race", cluster=item[0], options=("s", "a", "u"), facts=(("target", item[0]),))
        for i, item in enumerate(items)
    )
    return Readout(
        "pair", cases, (), logp[:, 0] - logp[:, 1], one, torch.arange(n), {"valid": one}, one.bool(),
        arrays={"logp": logp, "tokens": torch.ones_like(logp)},
    )  # fmt: skip


def rigged() -> list[Toy]:
    return [(_readout([("x", -1.0, -2.0, -3.0)] * 4), None), (_readout([("x", -2.0, -1.0, -3.0)] * 4), None)]


def symmetric() -> list[Toy]:
    return [(_readout([(term, *pair, -3.0) for term in "xy" for pair in ((-1.0, -2.0), (-2.0, -1.0))]), None)]


@pytest.mark.data
@pytest.mark.parametrize(("model", "domain"), GOLDEN)
def test_published_scores_from_published_item_scores(data_dir: Path, model: str, domain: str) -> None:
    path = data_dir / "stereoset" / "golden" / "golden_intrasentence_scores.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["bias_type"] == domain]
    columns = [f"{model}:{kind}" for kind in ("stereotype", "anti_stereotype", "unrelated")]
    items = [(row["target"], *(math.log(float(row[column])) for column in columns)) for row in rows]
    values = point(Stereoset(), _readout(items))
    assert [round(values[key], 4) for key in ("lms", "ss", "icat")] == list(GOLDEN[model, domain])
    assert len(items) == {"race": 962, "religion": 79}[domain]


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_fillings_equal_one_token_at_a_time(name: str) -> None:
    lm = tiny_lm(name)
    fills = ("late", "a wonderful thing", "unbelievably")
    sentences = tuple(f"The bus was {fill}, she said." for fill in fills)
    spans = tuple((12, 12 + len(fill)) for fill in fills)
    case = Case("0", "", "c", options=sentences, spans=spans, facts=(("target", "bus"),))
    (readout,) = read(lm, Scenario("s", (case,), (Context("c", "pair"),)))
    for i, (sentence, span) in enumerate(zip(sentences, spans, strict=True)):
        p = oracle.filling(lm, sentence, span)
        assert float(readout.arrays["fill"][0, i]) == pytest.approx(math.log(sum(p) / len(p)), abs=2e-5)
        logs = [math.log(each) for each in p]
        assert float(readout.arrays["logp_fill"][0, i]) == pytest.approx(sum(logs) / len(logs), abs=2e-5)
    assert len(p) > 1
    best = [float(x) for x in readout.arrays["fill"][0]]
    assert point(Stereoset(), readout)["ss"] == 100.0 * (best[0] > best[1])


def test_terms_weigh_the_same_and_items_in_the_micro_mean() -> None:
    items = [("x", -1.0, -2.0, -3.0)] * 3 + [("y", -2.0, -1.0, -1.5)]
    values = point(Stereoset(), _readout(items))
    assert {key: values[key] for key in ("ss", "lms", "icat")} == pytest.approx(oracle.scores(items))
    assert (values["ss"], values["ss.micro"]) == (50.0, 75.0)
    assert (values["lms"], values["lms.micro"]) == (75.0, 87.5)


def test_a_tie_counts_as_anti_stereotype_and_is_told() -> None:
    values = point(Stereoset(), _readout([("x", -1.0, -1.0, -2.0), ("x", -1.0, -2.0, -3.0)]))
    assert (values["ss"], values["ties"], values["lms"]) == (50.0, 50.0, 100.0)


def test_what_would_underflow_as_a_probability_is_no_tie() -> None:
    assert point(Stereoset(score="summed"), _readout([("x", -2000.0, -2001.0, -3000.0)]))["ties"] == 0.0


def test_a_model_that_prefers_nonsense_scores_nothing() -> None:
    values = point(Stereoset(), _readout([("x", -3.0, -4.0, -1.0)] * 2))
    assert (values["lms"], values["icat"], values["ss"]) == (0.0, 0.0, 100.0)
