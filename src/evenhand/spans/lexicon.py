"""Words and phrases of a list of yours, one to a line, wherever they stand as whole words in whatever case.

Lines that are empty or begin with `#` are left out. A list is no judge: LDNOOBW's 403 entries stand in 37 (9.9 %) of
all 373 hateful sentences of HateCheck about women; the 37 words they mark there are focus words of the file, of which
there are 545 (6.8 %). Of the 241 sentences that have focus words and are not misspelt on purpose it is in 36 (14.9 %),
with 10.1 % of the focus words. And a word of a list may be harmless where it stands.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.core.spans import Spans, joined, standing
from evenhand.lm.model import LM


@dataclass(frozen=True)
class Lexicon:
    """What a list of words finds."""

    file: str = ""
    """Path of the list; `${VARIABLES}` come from the environment."""

    def select(self, lm: LM, texts: Sequence[Case], neutral: Sequence[str]) -> list[Spans]:
        """Return where entries stand in each text; raises UsageError without a list that can be read."""
        entries = self._entries()
        return [joined(span for entry in entries for span in standing(case.prompt, entry)) for case in texts]

    def _entries(self) -> list[str]:
        if not self.file:
            raise UsageError('spans: lexicon needs a list of words; set "file=my_words.txt" (one to a line)')
        try:
            lines = Path(os.path.expandvars(self.file)).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"spans: {self.file}: expected a list of words in UTF-8 ({error})") from error
        entries = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if not entries:
            raise UsageError(f"spans: {self.file} holds no words; write one to a line")
        return entries
