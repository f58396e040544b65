"""Texts with the spans that a selector took in them, as a file: looked at before training, corrected, trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evenhand.core.errors import UsageError
from evenhand.core.frozen import Record
from evenhand.core.spans import Spans


class Coverage(Record):
    """How much of some texts is selected, counted in tokens that a model predicts."""

    texts: int
    of_texts: int
    tokens: int
    of_tokens: int

    def __str__(self) -> str:
        """Return it in words."""
        share = f"{100 * self.tokens / self.of_tokens:.1f} %" if self.of_tokens else "none"
        return (
            f"{self.texts} of {self.of_texts} texts have selected tokens ({share} of all their tokens), "
            f"{self.tokens} in all"
        )


class Marked(Record):
    """One text with its spans; the words are for who reads the file, and not read back."""

    id: str
    text: str
    spans: Spans
    words: tuple[str, ...] = ()


class MarkedTexts(Record):
    """What `evenhand spans --out` writes: what was selected, by what and of what."""

    selector: str
    settings: dict[str, Any] = {}
    model: dict[str, Any] = {}
    """What pins the model that was looked at, or whose tokens were counted."""
    scenario: str = ""
    scenario_fingerprint: str = ""
    groups: tuple[str, ...] = ()
    """Whose texts; none: those of all."""
    coverage: Coverage | None = None
    texts: tuple[Marked, ...]


def read_marked(path: Path) -> MarkedTexts:
    """Read such a file; raises UsageError for what is none."""
    try:
        return MarkedTexts.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"spans: {path}: cannot be read ({error.strerror or error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise UsageError(
            f"spans: {path}: expected spans as `evenhand spans … --out FILE` writes them ({where}: {first['msg']})"
        ) from error
