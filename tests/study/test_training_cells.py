"""Cells whose method trains: killed ones go on to the same bits, ones that diverge are rolled back and say why."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evenhand.core.record import CellRecord
from evenhand.study.config import StudyConfig
from evenhand.study.engine import Listener, run_study
from evenhand.train import state
from evenhand.train.objectives import Unlearning

Asked = Callable[..., StudyConfig]


def _study(asked: Asked, **settings: Any) -> StudyConfig:
    return asked(methods=[{"name": "unlearning", "settings": settings, "sizes": "paper"}])


def _run(config: StudyConfig, folder: Path) -> tuple[CellRecord, list[str]]:
    told: list[str] = []
    (record,) = run_study(config, folder, Listener(notify=told.append))
    return record.model_copy(update={"seconds": 0.0}), told


def _files(folder: Path, record: CellRecord) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / record.edit).iterdir()}


def _killed_in_batch(number: int, config: StudyConfig, folder: Path) -> None:
    """Run the study in a child process that kills itself when it has come so far."""
    child = os.fork()
    if not child:
        whole = Unlearning.terms

        def terms(self: Unlearning, lm: Any, step: int, generator: Any) -> Any:
            if step == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return whole(self, lm, step, generator)

        Unlearning.terms = terms
        run_study(config, folder)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_a_killed_unlearning_goes_on_to_the_same_bits(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _study(asked, objective="kl", steps=8, lr=1e-3, every=4, budget=1e3)
    whole, _ = _run(config, tmp_path / "whole")
    assert "30 parameters" in whole.describes
    monkeypatch.setattr(state, "_SECONDS", 0.0)  # the state is written after every step
    monkeypatch.setattr(state, "_SHARE", 0.0)
    _killed_in_batch(6, config, tmp_path / "killed")
    assert not [*(tmp_path / "killed").glob("cells/*")]
    assert len([*(tmp_path / "killed").glob("cache/*-fit/training-*.pt")]) == 1
    again, told = _run(config, tmp_path / "killed")
    assert "training goes on after step 6 of 8" in told
    assert again.model_dump_json() == whole.model_dump_json()  # not a word of how it came about
    assert _files(tmp_path / "killed", again) == _files(tmp_path / "whole", whole)
    assert not [*(tmp_path / "killed").glob("cache/*-fit")]


def test_a_rate_that_diverges_is_stopped_rolled_back_and_explained(asked: Asked, tmp_path: Path) -> None:
    wild = {"source": "benign", "lr": 4e-4, "warmup": 2, "every": 1}
    stopped, told = _run(_study(asked, steps=20, **wild), tmp_path / "stopped")
    (why,) = (note for note in stopped.notes if "stopped" in note)
    assert told.count(why) == 1
    found = re.fullmatch(
        r"unlearning: training stopped after (\d+) of 20 steps: perplexity on the texts to retain is .* at most 5 % "
        r"are allowed; rolled back to step (\d+), the last good one",
        why,
    )
    assert found, why
    last, good = map(int, found.groups())
    assert 1 < good < last < 20
    assert [(point.units, point.chosen) for point in stopped.sweep] == [(0, False), (good, True)]
    assert stopped.training is not None
    assert (stopped.training.steps, stopped.training.last_good, stopped.training.best) == (20, good, good)
    assert len(stopped.training.log) == last
    assert not stopped.training.looks[-1].ok
    short, _ = _run(_study(asked, steps=good, **wild), tmp_path / "short")
    tensors = [path for path in (tmp_path / "stopped" / stopped.edit).iterdir() if path.suffix == ".safetensors"]
    assert [path.read_bytes() for path in tensors] == [
        (tmp_path / "short" / short.edit / path.name).read_bytes() for path in tensors
    ]


def test_without_guards_a_loss_that_is_no_number_still_stops(asked: Asked, tmp_path: Path) -> None:
    record, _ = _run(_study(asked, steps=5, lr=1e30, guards=False), tmp_path)
    (why,) = (note for note in record.notes if "stopped" in note)
    assert re.search(r"after 1 of 5 steps: the loss is nan; the learning rate went up to .*: try a tenth of it; ", why)
    assert why.startswith("unlearning: nothing was trained: stopped after 1 of 5 steps")
    assert "nothing was trained, so the unedited model was kept" in record.rule
    assert [(point.units, point.chosen) for point in record.sweep] == [(0, True)]
    assert (record.edit, record.describes) == ("", "")
    assert {row.subject for row in record.rows} == {"base"}


def test_doses_after_a_stop_are_one_point_at_the_step_it_was_taken(asked: Asked, tmp_path: Path) -> None:
    settings = {"source": "benign", "lr": 4e-4, "warmup": 2, "every": 1}
    config = asked(methods=[{"name": "unlearning", "settings": settings, "sizes": [1, 14, 17, 20]}])
    record, _ = _run(config, tmp_path)
    assert record.training is not None
    good = record.training.last_good
    assert 1 < good < 14
    assert [point.units for point in record.sweep] == [0, 1, good]
    assert f"Training stopped before step 14, 17, 20: in its place stands step {good}." in record.notes
