"""What a model is called in a record: by its folder, and the bundled one by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from evenhand.export.card import Checked, ModelCard, text
from evenhand.planted import model_path, name_of
from evenhand.study.config import ModelConfig
from evenhand.study.models import identity, open_model


def test_the_bundled_model_is_called_planted() -> None:
    for source in ("planted", str(model_path())):
        lm = open_model(ModelConfig(source=source, chat=False))
        assert identity(lm)["source"] == "planted"
        assert identity(lm)["sha256"] == lm.identity.sha256
    card = text(ModelCard(), lm.identity, Checked("switches off 1", 1, 1, 0.0, 1.0, "ab"))
    assert "# planted, edited" in card
    assert "license: apache-2.0\n" in card


def test_another_folder_keeps_its_name(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert identity(open_model(ModelConfig(source=str(shop / "model"), chat=False)))["source"] == "model"
    monkeypatch.chdir(tmp_path)
    assert name_of(Path()) == tmp_path.name
