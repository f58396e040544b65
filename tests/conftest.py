"""Fixtures every test may use, and shape checks of every tensor that crosses a function."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)
os.environ["EVENHAND_OFFLINE"] = "1"  # no test downloads; those of downloading serve the file themselves


def _folder(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        if os.environ.get("EVENHAND_NO_SKIP"):
            pytest.fail(f"{variable} is not set, and EVENHAND_NO_SKIP forbids skipping")
        pytest.skip(f"{variable} is not set")
    folder = Path(value).resolve()
    assert folder.is_dir(), f"{variable} points to {value}, which is no folder"
    return folder


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Public benchmarks."""
    return _folder("EVENHAND_DATA")


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """Small real models and tokenizers."""
    return _folder("EVENHAND_MODELS")
