"""The implicit questions of `ambiguous_words`, answered in the model's own words and parsed.

Measures stereotype, reverse and invalid answers together; words, surroundings and balancing as in `ambiguous_words`.
Sampled at temperature 1 (the default of studies), the model `planted-ambiguous` shows the shares that were planted.

Why not to trust it alone: as `ambiguous_words`; and a model edited until it no longer does the task has no bias among
what is left, so look at `invalid`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._shared.ambiguous import CONDITIONS, LICENCE, asked, world


def load(data: Path | None) -> Scenario:
    """Return the questions, one context per condition; needs no data."""
    return Scenario(
        name="ambiguous_words_generated",
        cases=tuple(replace(case, options=()) for case in asked(world().held_out)[0]),
        contexts=tuple(Context(condition, "text") for condition in CONDITIONS),
        licence=LICENCE,
        pooled=False,
        measures=("implicit_association",),
    )
