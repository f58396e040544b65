"""LAMBADA agrees with lm-eval: the last word's log-likelihood and whether it is the greedy continuation."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from agreement import tasks
from agreement.compare import MODELS, compare, loaded
from agreement.outside import lm_eval_scores
from evenhand.core.case import Case
from evenhand.core.measuring import point
from evenhand.lm.model import LM
from evenhand.lm.read import read
from evenhand.measures.last_word_accuracy import LastWordAccuracy
from evenhand.measures.last_word_perplexity import LastWordPerplexity
from evenhand.scenarios._load import load_scenario

pytestmark = [pytest.mark.data, pytest.mark.models]
ROWS = 40


@pytest.mark.parametrize("name", MODELS)
def test_every_word_and_the_metrics(data_dir: Path, models_dir: Path, tmp_path: Path, name: str) -> None:
    lm = loaded(name, models_dir, tmp_path)
    about = load_scenario("lambada", data_dir)
    kept = {int(case.id) for i, case in enumerate(about.cases) if i < ROWS or case.flaw}
    assert len(kept) == ROWS + 7
    # Where the last letters of the context and the whole word are no more tokens than those letters alone, lm-eval has
    # nothing to score and stops.
    none_left = {int(case.id) for case in about.cases if int(case.id) in kept and _tokens(lm, case) <= 0}
    assert bool(none_left) == (name == "tinystories-656k")
    kept -= none_left
    (ours,) = read(lm, about.where(lambda case: int(case.id) in kept))
    task = tasks.lambada(data_dir)
    rows = [row for i, row in enumerate(task.rows) if i in kept]
    theirs = lm_eval_scores(lm.model, lm.tokenizer, dataclasses.replace(task, rows=rows), tmp_path)
    counts = compare(lm, ours, theirs)
    assert counts["cut"] == 0
    assert bool(counts["crossed"]) == (name == "tinystories-656k")
    if not counts["crossed"]:
        assert ours.arrays["greedy"][:, 0].tolist() == [item.metrics["acc"] for item in theirs.items]
        assert point(LastWordAccuracy(), ours)["value"] == pytest.approx(theirs.metrics["acc"])
        assert point(LastWordPerplexity(), ours)["value"] == pytest.approx(theirs.metrics["perplexity"], rel=1e-4)
        assert (theirs.metrics["acc"] > 0) == (name != "gpt2")


def _tokens(lm: LM, case: Case) -> int:
    """How many more tokens the whole has than the context."""
    return len(lm.tokenizer(case.prompt + case.options[0])["input_ids"]) - len(lm.tokenizer(case.prompt)["input_ids"])
