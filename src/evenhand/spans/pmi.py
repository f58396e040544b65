"""Words that stand in the texts far more often than in neutral ones: pointwise mutual information, smoothed.

For each word, in lower case: score = log (c_h + a)/(N_h + a V) − log (c_n + a)/(N_n + a V), with c the times it stands
in the texts and in neutral ones, N all words there, V the number of different words in both and a `smoothing` (add-a,
Lidstone). It is PMI(word, hate) − PMI(word, neutral). Taken are words that score at least `least` nats and stand at
least `count` times in the texts.

Measured on the 346 of HateCheck's 373 hateful sentences about women that have focus words, which 20 % of all their
words are, beside the 45 neutral ones: 14 % of the focus words are taken, and 14 % of the words taken are such; with
`least = 0.5` 40 % and 16 %: less than words drawn blindly. On the 241 of them that are not misspelt on purpose, where
18 % of the words are such: 9 % and 11 %; with `least = 0.5` 51 % and 18 % (`benchmarks/spans.py`). Most focus words
stand in one template only, so that counts say nothing here: it is for large collections.

Pitfalls: what tells the two apart may be the topic and not the hate, so that neutral texts must be about the same
groups; names of groups (`Case.name`) are left out unless `names` is true, because unlearning them erases the group.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.core.spans import Spans, joined, overlaps, standing, words
from evenhand.lm.model import LM


@dataclass(frozen=True)
class Pmi:
    """Words that go with these texts rather than with neutral ones."""

    least: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Score in nats from which a word is taken; 1: e times as frequent as in neutral texts."""
    smoothing: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.5
    count: Annotated[int, Field(ge=1)] = 2
    names: bool = False

    def select(self, lm: LM, texts: Sequence[Case], neutral: Sequence[str]) -> list[Spans]:
        """Return where words of high score stand; raises UsageError without neutral texts."""
        if not neutral:
            raise UsageError(
                "spans: pmi compares the texts with neutral ones, and there are none; give some as utility"
            )
        scores = self.scores([case.prompt for case in texts], neutral)
        taken = {word for word, score in scores.items() if score >= self.least}
        return [self._of(case, taken) for case in texts]

    def scores(self, texts: Sequence[str], neutral: Sequence[str]) -> dict[str, float]:
        """Return the score of every word that stands often enough in the texts."""
        ours, theirs = _counts(texts), _counts(neutral)
        different, a = len({*ours, *theirs}), self.smoothing
        base, beside = ours.total() + a * different, theirs.total() + a * different
        return {
            word: math.log((n + a) / base) - math.log((theirs[word] + a) / beside)
            for word, n in ours.items()
            if n >= self.count
        }

    def _of(self, case: Case, taken: set[str]) -> Spans:
        left = [] if self.names else standing(case.prompt, case.name)
        spans = (span for span in words(case.prompt) if case.prompt[slice(*span)].lower() in taken)
        return joined(span for span in spans if not overlaps(span, left))


def _counts(texts: Iterable[str]) -> Counter[str]:
    return Counter(text[slice(*span)].lower() for text in texts for span in words(text))
