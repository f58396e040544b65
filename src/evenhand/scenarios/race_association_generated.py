"""Race or colour? The implicit questions of `race_association`, answered in the model's own words and parsed.

Measures stereotype, reverse, refusal and invalid answers together, for the identifiers white and black, for the same
"purely as colours", for names and for White and Black; source, words, wording and balancing as in `race_association`,
reading as in `association_generated`. Causal and encoder-decoder models; a masked model writes no answers.

Why not to trust it alone: a model edited until it no longer does the task has no bias among what is left. Look at
`invalid`, at `highest`, and at what the answers say.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._shared.association import questions
from evenhand.scenarios._shared.race_association import CITATION, LICENCE, READ, conditions


def load(data: Path | None) -> Scenario:
    """Return the questions, one context per condition; raises CannotRun where stimuli or names are absent."""
    found = list(conditions(data))
    return Scenario(
        name="race_association_generated",
        cases=tuple(
            replace(case, options=())
            for condition, prefix, sets in found
            for stimuli in sets
            for case in questions(condition, stimuli, prefix)
        ),
        contexts=tuple(Context(condition, "text") for condition, *_ in found),
        licence=LICENCE,
        citation=CITATION,
        pooled=False,
        measures=("implicit_association",),
        source=READ,
    )
