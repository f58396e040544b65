"""A study on a tiny model that lies in a folder, small enough to be run in a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import small_shop
from evenhand.study.config import StudyConfig

Asked = Callable[..., StudyConfig]


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `model`, `shop.toml` and `texts.toml`."""
    return small_shop.write(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="session")
def asked(shop: Path) -> Asked:
    """The study as a function of what is asked differently."""

    def config(**more: Any) -> StudyConfig:
        given = {"name": "t", "scenario": str(shop / "shop.toml"), "utility": [str(shop / "texts.toml")],
                 "models": [{"source": str(shop / "model"), "chat": False}], "fitted_on": ["lamp"],
                 "methods": [{"name": "random", "sizes": "paper"}], "bootstrap": {"replicates": 40},
                 "units_explained": 1}  # fmt: skip
        return StudyConfig.model_validate(given | more)

    return config
