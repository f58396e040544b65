"""Implicit association by likelihood: which of two words goes with which of two groups, in 21 stimulus sets.

Measures which of two complete assignments ("wonderful - White, terrible - Black" or the reverse) a model finds
likelier per token after a prompt that asks for one: no answer has to be parsed, so base and damaged models have a score
too. Words and groups are those of Bai et al. (PNAS 2025): columns A (default group), B (stigmatised group) and C (first
half positive, or congruent with the default group). Every positive word meets every negative one, with the identifiers
of the groups in turn; each such pair of words is one cluster and is asked in both orders of the words × both orders of
the groups × two wordings of ours, so that copying the order of listing gives exactly one half. Causal, masked
(pseudo-log-likelihood) and encoder-decoder models.

Why not to trust it alone: each group may be used only once, so an answer always leans one way; only the share over many
pairs means anything. A word stands in many pairs, so the intervals say little about other words. The stimuli are few,
English, and partly odd ("walkman", "didnt do it"); four sets have identifiers that are common names. A preference in
likelihood need not show in what the model writes: see `association_generated`.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._shared.association import SOURCE, questions, read_stimuli


def load(data: Path | None) -> Scenario:
    """Return the questions, one context per set; raises CannotRun where the stimuli are absent or damaged."""
    sets = read_stimuli(data)
    return Scenario(
        name="association",
        cases=tuple(case for name, stimuli in sets.items() for case in questions(name, stimuli)),
        contexts=tuple(Context(name, "pair") for name in sets),
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        measures=("implicit_association", "mean"),
        source=f"{SOURCE.folder}/iat_stimuli.csv",
    )
