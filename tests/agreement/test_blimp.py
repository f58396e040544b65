"""BLiMP agrees with lm-eval: both sentences of every pair, whole, and which of them is likelier."""

from __future__ import annotations

from pathlib import Path

import pytest

from agreement import tasks
from agreement.compare import MODELS, loaded
from agreement.outside import Run, lm_eval_scores
from evenhand.core.measuring import point
from evenhand.lm.read import read
from evenhand.measures.pair_accuracy import PairAccuracy
from evenhand.scenarios._load import load_scenario

pytestmark = [pytest.mark.data, pytest.mark.models]
ROWS = 12


@pytest.mark.parametrize("paradigm", ["anaphor_gender_agreement", "wh_island", "passive_1"])
@pytest.mark.parametrize("name", MODELS)
def test_every_sentence_and_the_metric(
    data_dir: Path, models_dir: Path, tmp_path: Path, name: str, paradigm: str
) -> None:
    lm = loaded(name, models_dir, tmp_path)
    theirs = lm_eval_scores(lm.model, lm.tokenizer, tasks.blimp(data_dir, paradigm), tmp_path, Run(limit=ROWS))
    kept = {f"{paradigm}/{i}" for i in range(ROWS)}
    (ours,) = read(lm, load_scenario("blimp", data_dir).where(lambda case: case.id in kept))
    assert len(ours) == len(theirs.items) == ROWS
    for i, (case, item) in enumerate(zip(ours.cases, theirs.items, strict=True)):
        assert item.requests == tuple(("", option) for option in case.options)
        assert ours.arrays["logp"][i].tolist() == pytest.approx(item.logp, abs=1e-4)
        assert ours.arrays["tokens"][i].tolist() == list(item.tokens)
    assert point(PairAccuracy(), ours)["value"] == pytest.approx(theirs.metrics["acc"])
