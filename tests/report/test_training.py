"""The table of a training."""

from __future__ import annotations

import math
from pathlib import Path

from evenhand.core.trained import TrainingLook, TrainingRecord, TrainingStep
from evenhand.report.load import Run, load
from evenhand.report.page import build
from evenhand.report.render import html
from evenhand.report.training import went
from report import made_run as made


def _record(steps: int, stopped: str, best: int) -> TrainingRecord:
    log = tuple(
        TrainingStep(step=i, terms={"forget": -2.0 - i, "retain KL": 0.25 * i}, total=-2.0 - i + 0.25 * i,
                     norm=math.nan if i == steps else 1.5, lr=math.nan if i == steps else 1e-4)
        for i in range(steps + 1)
    )  # fmt: skip
    looks = tuple(TrainingLook(step=i, ok=True, numbers={"retain perplexity": 20.0 + i}) for i in range(0, steps, 5))
    return TrainingRecord(steps=steps, stopped=stopped, last_good=best, best=best, log=log, looks=looks)


def test_every_term_is_shown_by_itself() -> None:
    found = went(_record(6, "", 6))
    assert found.head == ("step", "forget", "retain KL", "their weighted sum", "norm of the gradient", "learning rate",
                          "retain perplexity")  # fmt: skip
    assert found.rows[0] == ("0", "−2.00", "0", "−2.00", "1.50", "0.000100", "20.0")
    assert found.rows[6] == ("6", "−8.00", "1.50", "−6.50", "", "", "")
    assert len(found.rows) == 7


def test_of_a_long_training_some_steps_are_shown_and_the_one_that_counts() -> None:
    found = went(_record(150, "stopped after 150 of 200 steps: …", 147))
    steps = [row[0] for row in found.rows]
    assert steps[0] == "0"
    assert steps[-2:] == ["147 (rolled back to)", "150"]
    assert len(steps) <= 24


def test_without_a_training_there_is_no_table() -> None:
    assert went(None).rows == ()


def test_the_page_holds_the_table_of_an_edit_that_was_trained(tmp_path: Path) -> None:
    run = load(made.build(tmp_path / "run", models=("one",), fitted=("purchase",)))
    (ref, record), *others = run.cells
    trained = record.model_copy(update={"training": _record(6, "", 6)})
    shown = html(build(Run(run.record, ((ref, trained), *others), run.missing)))
    assert shown.count("<summary>How the training went</summary>") == 1
