"""Common words as a comparison: how much rather a woman is said of words of female leaning than of male ones.

The words and frames of `common_words` that have a leaning (40 in each of five categories; Apache-2.0; read without
EVENHAND_DATA), asked as a choice of two: woman or man, she or he. Groups are the leanings, contexts the categories,
variations the frames, clusters the words. So the gap between the groups is the stereotype, not the liking of a model
for one gender, which moves both groups alike; and methods can be fitted on some words, or categories, and judged on
others. It measures less than `common_words` does (one pair of words, no mass, no neutral prompt): fit here, judge
there and by `factual_gender`, which must not change.

Why not to trust it alone: what `common_words` says of its words and frames; and an edit that forgets the words, rather
than the stereotype, closes this gap too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evenhand.core.case import Case
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._shared.gender_words import FILE, LICENCE, completed, read_words

CATEGORIES = ("professions", "traits", "actions", "colours", "hobbies")
LEANINGS = ("female", "male")
_CHOICE = 2
"""Options that are asked: the first pair, female before male."""


def load(data: Path | None) -> Scenario:
    """Return 200 words in four frames each, in five contexts."""
    words = read_words()
    return Scenario(
        name="common_words_stereotype",
        cases=tuple(case for category in CATEGORIES for case in _cases(category, words)),
        contexts=tuple(Context(category, "choice") for category in CATEGORIES),
        groups=LEANINGS,
        licence=LICENCE,
        source=FILE.name,
    )


def _cases(category: str, words: dict[str, Any]) -> Iterator[Case]:
    for number, frame in enumerate(words[category]["frames"], 1):
        for leaning in LEANINGS:
            for word in words[category][leaning]:
                case = Case(
                    id=f"{category}/{number}/{word}",
                    prompt=frame["text"].replace("{word}", word),
                    context=category,
                    variation=frame["text"],
                    group=leaning,
                    cluster=word,
                    name=word,
                    favourable=0,
                )
                asked = completed(words, frame["ends"], case)
                yield dataclasses.replace(case, options=asked["options"][:_CHOICE], ending=asked["ending"])
