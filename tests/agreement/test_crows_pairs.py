"""CrowS-Pairs agrees with lm-eval: every sentence's log-likelihood, and the share and distance made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agreement import tasks
from agreement.outside import Run, lm_eval_scores
from evenhand.core.measuring import point
from evenhand.lm.load import load
from evenhand.lm.read import read
from evenhand.measures.stereotype_preference import StereotypePreference
from evenhand.scenarios._load import load_scenario

PAIRS = 40


@pytest.mark.data
@pytest.mark.models
@pytest.mark.parametrize("name", ["stories260K", "tinystories-656k"])
def test_every_sentence_and_the_metrics(data_dir: Path, models_dir: Path, tmp_path: Path, name: str) -> None:
    lm = load(models_dir / name)
    theirs = lm_eval_scores(lm.model, lm.tokenizer, tasks.crows_pairs(data_dir), tmp_path, Run(limit=PAIRS))
    scenario = load_scenario("crows_pairs", data_dir)
    kept = {case.id for case in scenario.cases[:PAIRS]}
    (readout,) = read(lm, scenario.where(lambda case: case.id in kept))
    assert len(theirs.items) == len(readout) == PAIRS
    for i, item in enumerate(theirs.items):
        assert readout.arrays["logp"][i].tolist() == pytest.approx(item.logp, abs=1e-4)
        assert readout.arrays["tokens"][i].tolist() == list(item.tokens)
    values = point(StereotypePreference(), readout)
    assert values["summed"] == pytest.approx(100 * theirs.metrics["pct_stereotype"])
    assert values["summed.distance"] == pytest.approx(theirs.metrics["likelihood_diff"], abs=1e-4)
