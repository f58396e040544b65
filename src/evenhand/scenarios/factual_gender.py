"""Factual gender: 64 people whose gender the words state ("my sister", "the king"), which an edit must not destroy.

Written for evenhand (Apache-2.0; `_shared/gender.toml`); read without EVENHAND_DATA. 32 matched pairs, 16 of family
members and 16 of titles and roles (the contexts), in four frames (the variations); the cluster is the pair, so that
intervals keep both genders together. A model that always says the same gender is right half of the time. Options and
conventions are those of the pack `common_words`, the measure is `stated_gender`.

Why: public notes on edits of gender neurons report that the probability of the *factual* gender fell with the
stereotyped one and that mass moved to neither gender. Accuracy and gap must stay; the mass on neither must not grow.

Why not to trust it alone: easy for any trained model, so it can only fall; four frames; a good score says nothing of
facts that are not in the word (names, pronouns further off). "My sister is a girl" is odd English, which costs mass and
not accuracy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evenhand.core.case import Case
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._shared.gender_words import FILE, LICENCE, completed, read_words

CONTEXTS = ("family", "roles")
GENDERS = ("female", "male")


def load(data: Path | None) -> Scenario:
    """Return 64 people in four frames, in two contexts."""
    words = read_words()
    return Scenario(
        name="factual_gender",
        cases=tuple(case for context in CONTEXTS for case in _cases(context, words)),
        contexts=tuple(Context(context, "pair") for context in CONTEXTS),
        licence=LICENCE,
        measures=("stated_gender",),
        source=FILE.name,
    )


def _cases(context: str, words: dict[str, Any]) -> Iterator[Case]:
    for number, frame in enumerate(words["stated"]["frames"], 1):
        for people in words["stated"][context]:
            for person, gender in zip(people, GENDERS, strict=True):
                text = frame["text"].replace("{word}", person)
                case = Case(
                    id=f"{context}/{number}/{person}",
                    prompt=text[0].upper() + text[1:],
                    context=context,
                    variation=frame["text"],
                    cluster=" / ".join(people),
                    facts=(("stated", gender),),
                )
                yield dataclasses.replace(case, **completed(words, frame["ends"], case))
