"""Methods whose edits work only while the model runs: the same study, whole texts included, and marked as such."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evenhand.core.errors import CannotRun
from evenhand.edits import _file
from evenhand.edits.compose import Compose
from evenhand.edits.prompt import Prompt
from evenhand.export.card import ModelCard
from evenhand.export.checkpoint import checkpoint
from evenhand.study.engine import run_study
from evenhand.testing.tiny import tiny_lm

METHODS: list[tuple[str, dict[str, Any], str, bool]] = [
    ("fairness_prompt", {"wording": "brief"}, "sentences", False),
    ("self_debias_prompt", {"tokens": 2}, "tokens", False),
    ("self_debias_decoding", {"grounds": ["gender"], "decay": 20}, "decay", True),
    ("expert_decoding", {"fair": "${EXPERTS}/1", "biased": "${EXPERTS}/2"}, "strength", True),
]


@pytest.fixture
def experts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two other tiny models with the tokenizer of the one that is asked."""
    for seed in (1, 2):
        lm = tiny_lm("llama", seed=seed)
        lm.model.save_pretrained(tmp_path / str(seed))
        lm.tokenizer.save_pretrained(tmp_path / str(seed))
    monkeypatch.setenv("EXPERTS", str(tmp_path))


@pytest.mark.usefixtures("experts")
@pytest.mark.parametrize(("name", "settings", "noun", "texts_too"), METHODS)
def test_a_study_measures_them_and_says_that_nothing_holds_them(
    asked: Any, tmp_path: Path, name: str, settings: dict[str, Any], noun: str, texts_too: bool
) -> None:
    config = asked(methods=[{"name": name, "settings": settings, "sizes": "paper"}])
    (record,) = run_study(config, tmp_path / "run")
    assert noun in record.dose
    assert any(note.startswith("For run time only") for note in record.notes)
    changed = {(row.measure, row.subject): row.estimate.value for row in record.rows if row.measure == "kl_to_unedited"}
    assert (changed["kl_to_unedited", "edit"] > 0) == texts_too
    assert any(row.subject == "random" for row in record.rows) == (name != "expert_decoding")
    assert not [*(tmp_path / "run" / "cache").glob("*-fit")]
    edit = _file.load(tmp_path / "run" / record.edit).unchecked
    assert edit.run_time_only
    assert record.run_time_only


def test_no_checkpoint_is_made_of_them_alone_or_with_others(tmp_path: Path) -> None:
    assert not Compose(()).run_time_only
    for edit in (Prompt("Be fair."), Compose((Compose(()), Prompt("Be fair.")))):
        with pytest.raises(CannotRun, match="works only while the model runs"):
            checkpoint(tiny_lm("llama"), edit, tmp_path / "model", ModelCard())
