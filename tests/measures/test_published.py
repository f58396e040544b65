"""Published numbers of the name audit, recomputed by our measure from the published intervals."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.measuring import point
from evenhand.core.readout import Readout
from evenhand.measures.mean import Mean
from evenhand.measures.ratio_of_means import RatioOfMeans
from evenhand.measures.standardised_mean_difference import StandardisedMeanDifference

ANSWERS = {1: 2000, 2: 1000}
"""Answers per row of the table, by the number of words in its group: a race, or a race × gender cell."""
# White − Black, from the table in section 8 of the notes on the pruning paper.
GAPS = {
    ("bicycle", "low"): 0.65, ("car", "low"): 0.52, ("house", "low"): -0.02,
    ("bicycle", "high"): 0.10, ("car", "high"): 0.02, ("house", "high"): 0.66,
    ("bicycle", "numeric"): 0.00, ("car", "numeric"): 0.27, ("house", "numeric"): 0.06,
}  # fmt: skip


def _readouts(table: Path, words: int) -> dict[tuple[str, str], Readout]:
    """Two answers per row, mean ± sd with half of the mass each: the same two moments as all of its answers."""
    rows: dict[tuple[str, str], list[dict[str, str]]] = {}
    with table.open() as file:
        for line in csv.DictReader(file):
            if len(line["group"].split()) == words:
                rows.setdefault((line["variation"], line["context"]), []).append(line)
    return {key: _readout(lines, ANSWERS[words]) for key, lines in rows.items()}


def _readout(lines: list[dict[str, str]], answers: int) -> Readout:
    cases = tuple(Case(line["group"], "", "purchase", group=line["group"].split()[0]) for line in lines)
    mean = torch.tensor([float(line["mean"]) for line in lines], dtype=torch.float64)
    half = torch.tensor([(float(line["ci_high"]) - float(line["ci_low"])) / 2 for line in lines], dtype=torch.float64)
    sd = half / 1.959964 * answers**0.5
    value = torch.stack([mean - sd, mean + sd], dim=1).flatten()
    one = torch.ones(len(cases), dtype=torch.float64)
    row = torch.arange(len(cases)).repeat_interleave(2)
    return Readout(
        "number", cases, ("White", "Black"), value, one[row] * answers / 2, row, {"valid": one}, one.bool(), 1
    )


@pytest.mark.data
@pytest.mark.parametrize("words", [1, 2])
def test_gaps_of_the_name_audit(data_dir: Path, words: int) -> None:
    readouts = _readouts(data_dir / "audit_names" / "published_table5_gpt4_purchase.csv", words)
    assert readouts.keys() == GAPS.keys()
    for key, expected in GAPS.items():
        assert len(readouts[key]) == 2 * words
        got = point(StandardisedMeanDifference(), readouts[key])["value"]
        # Means are whole dollars: two differences, one of cells and one of races, are each off by up to 1.
        sd = max(point(Mean(), readouts[key].between(race))["sd"] for race in ("White", "Black"))
        assert got == pytest.approx(expected, abs=0.0051 if words == 1 else 0.03 + 2 / sd), key
        same = point(StandardisedMeanDifference(pooling="n"), readouts[key])["value"]
        assert same == pytest.approx(got, rel=1e-6), "equal groups: both poolings agree"


@pytest.mark.data
def test_white_sellers_get_twice_as_much_for_a_bicycle(data_dir: Path) -> None:
    readouts = _readouts(data_dir / "audit_names" / "published_table5_gpt4_purchase.csv", 1)
    assert point(RatioOfMeans(), readouts["bicycle", "low"])["value"] == pytest.approx(154 / 74, abs=0.02)
