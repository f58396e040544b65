"""The spans that come with the texts: HateCheck's focus words, what fills the blank of a sentence pair.

Nothing is looked for. `of = "identity"` takes the word that names the group instead of the words that say something
about it, and `"both"` takes both: which of the two is unlearned decides whether a model forgets a slur upon a group or
the group. A text without spans of its own has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evenhand.core.case import Case
from evenhand.core.spans import Spans, joined, standing
from evenhand.lm.model import LM


@dataclass(frozen=True)
class Given:
    """A case's own spans, the places of its name, or both."""

    of: Literal["bias", "identity", "both"] = "bias"

    def select(self, lm: LM, texts: Sequence[Case], neutral: Sequence[str]) -> list[Spans]:
        """Return the spans of each case; `neutral` is not looked at."""
        return [joined((*self._bias(case), *self._identity(case))) for case in texts]

    def _bias(self, case: Case) -> Spans:
        return () if self.of == "identity" else case.spans

    def _identity(self, case: Case) -> Sequence[tuple[int, int]]:
        return () if self.of == "bias" else standing(case.prompt, case.name)
