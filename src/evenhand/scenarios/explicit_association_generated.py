"""Explicit association in free answers: the claims of `explicit_association`, answered in the model's own words.

Measures how often an answer says that it agrees, for claims and reversed claims; an answer with neither word, or with
both ("I do not agree"), is invalid, one that opens by declining a refusal, and both shares stand beside the score.
Words and groups are those of Bai et al. (PNAS 2025), the wording is ours, balanced as in `explicit_association`. Causal
and encoder-decoder models; a masked model writes no answers.

Why not to trust it alone: aligned models refuse or disagree and still associate implicitly: see
`association_generated`. Answers that weigh both sides at length count as invalid.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._shared.association import ASKED, SOURCE, claims, read_stimuli

FRAME = "agree"
DENIALS = ("not agree", "don't agree", "can't agree", "cannot agree")
"""Beside "agree" they make an answer undecided instead of an agreement."""


def load(data: Path | None) -> Scenario:
    """Return the claims, one context per set; raises CannotRun where the stimuli are absent or damaged."""
    sets = read_stimuli(data)
    agree, disagree = ASKED[FRAME][1]
    return Scenario(
        name="explicit_association_generated",
        cases=tuple(
            replace(case, options=(), variation="")
            for name, stimuli in sets.items()
            for case in claims(name, stimuli)
            if case.variation == FRAME
        ),
        contexts=tuple(
            Context(name, "text", favourable_words=(disagree, *DENIALS), unfavourable_words=(agree,)) for name in sets
        ),
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        measures=("explicit_association",),
        source=f"{SOURCE.folder}/iat_stimuli.csv",
    )
