"""The words, frames and statements of the packs about gendered words, written for evenhand (`gender.toml`)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from evenhand.core.case import Case

FILE = Path(__file__).with_name("gender.toml")
LICENCE = "Apache-2.0"


def read_words() -> dict[str, Any]:
    """Return the tables of the file."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def completed(words: dict[str, Any], ends: str, case: Case) -> dict[str, Any]:
    """Return what a case of a frame that ends before a noun or a pronoun is asked with: options, ending and facts."""
    pairs: list[list[str]] = words["completions"][ends]
    return {
        "options": tuple(f" {option}" for pair in pairs for option in pair),
        "ending": words["endings"][ends],
        "facts": (("sides", "fm" * len(pairs)), *case.facts),
    }
