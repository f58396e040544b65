"""The spans that come with the texts: HateCheck's focus words, what fills the blank of a sentence pair, or a file's.

Nothing is looked for. `of = "identity"` takes the word that names the group instead of the words that say something
about it, and `"both"` takes both: which of the two is unlearned decides whether a model forgets a slur upon a group or
the group. A text without spans of its own has none.

With `file` they are those that `evenhand spans … --out FILE` wrote, as another selector took them or as you corrected
them by hand; it must hold every text.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.core.marked import read_marked
from evenhand.core.spans import Spans, joined, standing
from evenhand.lm.model import LM


@dataclass(frozen=True)
class Given:
    """A case's own spans, the places of its name, or both."""

    of: Literal["bias", "identity", "both"] = "bias"
    file: str = ""
    """Texts with spans, in place of the texts' own; `${VARIABLES}` come from the environment."""

    def select(self, lm: LM, texts: Sequence[Case], neutral: Sequence[str]) -> list[Spans]:
        """Return the spans of each case; `neutral` is not looked at. Raises UsageError for a file without them."""
        cases = self._marked(texts) if self.file else texts
        return [joined((*self._bias(case), *self._identity(case))) for case in cases]

    def _bias(self, case: Case) -> Spans:
        return () if self.of == "identity" else case.spans

    def _identity(self, case: Case) -> Sequence[tuple[int, int]]:
        return () if self.of == "bias" else standing(case.prompt, case.name)

    def _marked(self, texts: Sequence[Case]) -> list[Case]:
        """The cases with the spans of the file."""
        path = Path(os.path.expandvars(self.file))
        marked = {each.text: each.spans for each in read_marked(path).texts}
        if missing := [case.prompt for case in texts if case.prompt not in marked]:
            raise UsageError(
                f"spans: {path} lacks {len(missing)} of {len(texts)} texts, such as {missing[0][:60]!r}; write it for "
                "the same scenario and groups"
            )
        return [replace(case, spans=marked[case.prompt], options=()) for case in texts]
