"""StereoSet agrees with a slow oracle that reads the rows of the files: every text's score, and what is made of them.

lm-eval has no task of it. The convention is that of the measure `stereoset`; the order of the columns, the blank and
the space before a continuation are the oracle's own.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from evenhand.core.measuring import point
from evenhand.core.readout import Readout
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.lm.read import read
from evenhand.measures.stereoset import Stereoset
from evenhand.scenarios._load import load_scenario
from evenhand.testing.tiny import tiny_lm
from oracles import stereoset as oracle

pytestmark = [pytest.mark.data, pytest.mark.models]
DOMAINS = ("gender", "profession", "race", "religion")
MODELS = {
    "gpt2": "gpt2", "gpt_neox": "gpt-neox", "bert": "bert-base-uncased", "roberta": "roberta-base", "t5": "t5-small",
    "stories260K": "", "tinystories-656k": "",
}  # fmt: skip
"""Tiny random models with real tokenizers, and two real ones."""
ROWS = 2


def model(name: str, models_dir: Path) -> LM:
    if not MODELS[name]:
        return load(models_dir / name)
    return tiny_lm(name, tokenizer=AutoTokenizer.from_pretrained(models_dir / "tokenizers" / MODELS[name]))


def chosen(data: Path, part: str) -> dict[str, dict[str, str]]:
    """The first rows of each domain and the first that begins with the blank, by the id of their case."""
    found: dict[str, dict[str, str]] = {}
    for domain in DOMAINS:
        with (data / "stereoset" / f"{part}_{domain}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(enumerate(csv.DictReader(file)))
        bare = [row for row in rows if row[1]["Context"].startswith("BLANK")]
        found |= {f"{domain}/{i}": row for i, row in [*rows[:ROWS], *bare[:1]]}
    return found


def scores(readout: Readout) -> torch.Tensor:
    """What the measure compares, of every text."""
    return readout.arrays["fill"] if "fill" in readout.arrays else readout.arrays["logp"] / readout.arrays["tokens"]


@pytest.mark.parametrize("part", ["intrasentence", "intersentence"])
@pytest.mark.parametrize("name", MODELS)
def test_every_text_and_the_scores(data_dir: Path, models_dir: Path, name: str, part: str) -> None:
    lm, rows = model(name, models_dir), chosen(data_dir, part)
    assert len(rows) > len(DOMAINS) * ROWS or part == "intersentence"
    slow: Callable[[LM, dict[str, str]], tuple[float, ...]] = getattr(oracle, part)
    (readout,) = read(lm, load_scenario(f"stereoset_{part}", data_dir).where(lambda case: case.id in rows))
    assert {case.id for case in readout.cases} == set(rows)
    filled = lm.kind == "masked" and part == "intrasentence"
    assert ("fill" in readout.arrays) == filled
    if filled:
        means = readout.arrays["fill"], readout.arrays["logp_fill"]
        assert not torch.allclose(*means, atol=1e-2), "no filling of several tokens: any mean would agree"
    items = []
    for case, found in zip(readout.cases, scores(readout).tolist(), strict=True):
        expected = slow(lm, rows[case.id])
        assert found == pytest.approx(expected, abs=1e-4)
        items.append((rows[case.id]["Target"], *expected))
    values = point(Stereoset(), readout)
    assert {key: values[key] for key in ("ss", "lms", "icat")} == pytest.approx(oracle.scores(items))
