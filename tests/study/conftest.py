"""A study on a tiny model that lies in a folder, small enough to be run in a test."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evenhand.study.config import StudyConfig
from evenhand.testing.tiny import tiny_lm

SCENARIO = """
name = "shop"
outcome = "choice"
options = [" 1", " 2"]
favourable = " 1"
[groups]
a = ["Maria", "Hunter", "Ann", "Bo", "Eve", "Al"]
b = ["Jamal", "Cy", "Di", "Flo", "Gus", "Hal"]
[contexts.bus]
template = "{name} waited for the bus"
[contexts.lamp]
template = "{name} bought a lamp"
"""
TEXTS = ("She had an old lamp.", "He gave two apples.", "They waited.", "He asked.", "A pencil was there.", "Yes, 34.")

Asked = Callable[..., StudyConfig]


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `model`, `shop.toml` and `texts.toml`."""
    folder = tmp_path_factory.mktemp("shop")
    lm = tiny_lm("llama")
    lm.model.save_pretrained(folder / "model")
    lm.tokenizer.save_pretrained(folder / "model")
    (folder / "shop.toml").write_text(SCENARIO)
    items = "".join(f"[[items]]\ntext = {json.dumps(text)}\n" for text in TEXTS)
    (folder / "texts.toml").write_text(f'name = "texts"\noutcome = "sentence"\n{items}')
    return folder


@pytest.fixture
def asked(shop: Path) -> Asked:
    """The study as a function of what is asked differently."""

    def config(**more: Any) -> StudyConfig:
        given = {"name": "t", "scenario": str(shop / "shop.toml"), "utility": [str(shop / "texts.toml")],
                 "models": [{"source": str(shop / "model"), "chat": False}], "fitted_on": ["lamp"],
                 "methods": [{"name": "random", "sizes": "paper"}], "bootstrap": {"replicates": 40}}  # fmt: skip
        return StudyConfig.model_validate(given | more)

    return config
