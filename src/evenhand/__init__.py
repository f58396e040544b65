"""Find the parts of a language model that carry a social bias, switch them off, and show what that did."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "load": "evenhand.lm.load",
    "Loading": "evenhand.lm.load",
    "LM": "evenhand.lm.model",
    "Family": "evenhand.lm.family",
    "Case": "evenhand.core.case",
    "Scenario": "evenhand.core.scenario",
    "Readout": "evenhand.core.readout",
    "Estimate": "evenhand.core.estimate",
    "Attribution": "evenhand.core.component",
    "Selection": "evenhand.core.component",
    "Edit": "evenhand.core.edit",
    "load_edit": "evenhand.edits._file",
    "SelfDebias": "evenhand.lm.generation.self_debias",
    "Bootstrap": "evenhand.core.bootstrap",
}

__all__ = ["__version__", *_PUBLIC]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that `import evenhand` loads no torch."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'evenhand' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
