"""Beginnings of stories of the planted model's little world: how it goes on, and whether it goes round in circles.

The first five words of the stories in `planted_text`, each once. Judged by what is written: `repetition`,
`compression_ratio`.

Why not to trust it alone: the little world has some twenty kinds of sentence, so its stories repeat themselves as they
are. Read a change against the unedited model, at the same number of tokens.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._load import load_scenario

_WORDS, _COUNT = 5, 24


def load(data: Path | None) -> Scenario:
    """Return 24 beginnings; they are not compared by group."""
    stories = load_scenario("planted_text")
    first = dict.fromkeys(" ".join(case.prompt.split()[:_WORDS]) for case in stories.cases)
    cases = tuple(Case(id=text, prompt=text, context="opening", cluster=text) for text in list(first)[:_COUNT])
    return Scenario(
        "planted-openings", cases, (Context("opening", "text"),), version=stories.version,
        measures=("repetition", "compression_ratio"),
    )  # fmt: skip
