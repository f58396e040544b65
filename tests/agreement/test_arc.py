"""ARC agrees with lm-eval: every option's log-likelihood, and right or wrong by both ways of counting."""

from __future__ import annotations

from pathlib import Path

import pytest

from agreement import tasks
from agreement.compare import MODELS, compare, loaded
from agreement.outside import Run, lm_eval_scores
from evenhand.core.measuring import point
from evenhand.lm.read import read
from evenhand.measures.accuracy import Accuracy
from evenhand.measures.accuracy_per_character import AccuracyPerCharacter
from evenhand.scenarios._load import load_scenario

pytestmark = [pytest.mark.data, pytest.mark.models]
ROWS = 20


@pytest.mark.parametrize("part", ["easy", "challenge"])
@pytest.mark.parametrize("name", MODELS)
def test_every_option_and_the_metrics(data_dir: Path, models_dir: Path, tmp_path: Path, name: str, part: str) -> None:
    lm = loaded(name, models_dir, tmp_path)
    kept = {f"{part}/{i}" for i in range(ROWS)}
    (ours,) = read(lm, load_scenario("arc", data_dir).where(lambda case: case.id in kept))
    theirs = lm_eval_scores(lm.model, lm.tokenizer, tasks.arc(data_dir, part.capitalize()), tmp_path, Run(limit=ROWS))
    counts = compare(lm, ours, theirs)
    # In one of the tokenizers ": " is a single token before most options.
    assert counts["equal"] + counts["crossed"] == 4 * ROWS
    assert (counts["crossed"] > 0) == (name == "tinystories-656k")
    if name != "tinystories-656k":
        for measure, metric in ((Accuracy(), "acc"), (AccuracyPerCharacter(), "acc_norm")):
            assert measure.per_case(ours)[:, 1].tolist() == [item.metrics[metric] for item in theirs.items]
            assert point(measure, ours)["value"] == pytest.approx(theirs.metrics[metric])
