"""MMLU agrees with lm-eval, with and without examples: the four letters of every question, and right or wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from agreement import tasks
from agreement.compare import MODELS, compare, loaded
from agreement.outside import Run, lm_eval_scores
from evenhand.core.errors import CannotRun
from evenhand.core.measuring import point
from evenhand.core.scenario import Scenario
from evenhand.lm.read import read
from evenhand.measures.accuracy import Accuracy
from evenhand.scenarios._load import load_scenario

pytestmark = [pytest.mark.data, pytest.mark.models]
ROWS = 12


def first(data_dir: Path, name: str, subject: str) -> Scenario:
    kept = {f"{subject}/{i}" for i in range(ROWS)}
    return load_scenario(name, data_dir).where(lambda case: case.id in kept)


@pytest.mark.parametrize("subject", ["anatomy", "professional_law"])
@pytest.mark.parametrize("name", MODELS)
def test_every_letter_without_examples(
    data_dir: Path, models_dir: Path, tmp_path: Path, name: str, subject: str
) -> None:
    lm = loaded(name, models_dir, tmp_path)
    (ours,) = read(lm, first(data_dir, "mmlu", subject))
    theirs = lm_eval_scores(lm.model, lm.tokenizer, tasks.mmlu(data_dir, subject), tmp_path, Run(limit=ROWS))
    counts = compare(lm, ours, theirs)
    # The two small models see 512 tokens; questions of law are long.
    assert (counts["cut"] > 0) == (subject == "professional_law" and name != "gpt2")
    assert (counts["equal"], counts["crossed"])[name != "tinystories-656k"] == 0
    if counts["equal"] == 4 * ROWS:
        assert Accuracy().per_case(ours)[:, 1].tolist() == [item.metrics["acc"] for item in theirs.items]
        assert point(Accuracy(), ours)["value"] == pytest.approx(theirs.metrics["acc"])


@pytest.mark.parametrize("subject", ["anatomy", "high_school_european_history"])
def test_every_letter_after_five_examples(data_dir: Path, models_dir: Path, tmp_path: Path, subject: str) -> None:
    lm = loaded("gpt2", models_dir, tmp_path)
    about = first(data_dir, "mmlu_five_shot", subject)
    task, run = tasks.mmlu(data_dir, subject), Run(limit=ROWS, shots=5)
    if subject != "anatomy":
        with pytest.raises(CannotRun, match="sees at most 2048 at once"):
            read(lm, about)
        return
    (ours,) = read(lm, about)
    theirs = lm_eval_scores(lm.model, lm.tokenizer, task, tmp_path, run)
    assert compare(lm, ours, theirs) == {"equal": 4 * ROWS, "crossed": 0, "cut": 0}
    assert Accuracy().per_case(ours)[:, 1].tolist() == [item.metrics["acc"] for item in theirs.items]
