"""Beginnings of stories of the planted model's little world: how it goes on, and whether it goes round in circles.

Written for evenhand (Apache-2.0): five words each, as the stories of `planted_text` begin. Judged by what is written:
`repetition`, `compression_ratio`.

Why not to trust it alone: the little world has some twenty kinds of sentence, so its stories repeat themselves as they
are. Read a change against the unedited model, at the same number of tokens.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.scenario import Context, Scenario

_BEGINNINGS = (
    "The girl wanted a new",
    "The farmer found a wooden",
    "The horse was hungry, so",
    "The cat was hungry, so",
    "The farmer found a shiny",
    "The farmer wanted a new",
    "The doctor wanted a new",
    "The old man wanted a",
    "It was a cold night,",
    "A fox sat beside the",
    "The miller wanted a new",
    "A owl sat near the",
    "The boy lost a old",
    "The sheep was hungry, so",
    "The dog was hungry, so",
    "It was a windy day,",
    "The miller painted a small",
    "It was a snowy evening,",
    "The old woman wanted a",
    "It was a rainy morning,",
    "The shepherd lost a old",
    "The farmer hid a broken",
    "A cat sat on the",
    "The duck was hungry, so",
)


def load(data: Path | None) -> Scenario:
    """Return 24 beginnings; they are not compared by group."""
    cases = tuple(Case(id=text, prompt=text, context="opening", cluster=text) for text in _BEGINNINGS)
    contexts = (Context("opening", "text"),)
    return Scenario("planted-openings", cases, contexts, measures=("repetition", "compression_ratio"))
