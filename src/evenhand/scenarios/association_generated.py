"""Implicit association in free answers: the questions of `association`, answered in the model's own words and parsed.

Measures how often an answer assigns two words to two groups as the stereotype has it, and always beside it how often
it gives the reverse, refuses, or does not do the task. Words, groups, wordings and balancing are those of
`association` (stimuli of Bai et al., PNAS 2025; wording ours). An answer that says "wallet - white, mace - black" in
any of the usual forms is read; one that leaves a word out, gives both the same group or says it in a sentence is
invalid. Causal and encoder-decoder models; a masked model writes no answers.

Why not to trust it alone: what is left after refusals and broken answers may be a small and special part. The cure that
made implicit bias fall from 97.3 % to 42.4 % (Sun et al., ACL 2025) also left 52.9 % of the answers unreadable, and
over all answers the stereotype fell to 20.0 %, the reverse rising to 27.1 %. A limit of about 24 tokens suffices for
models that follow the form; more verbose ones are cut off and count as invalid.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._shared.association import SOURCE, questions, read_stimuli


def load(data: Path | None) -> Scenario:
    """Return the questions, one context per set; raises CannotRun where the stimuli are absent or damaged."""
    sets = read_stimuli(data)
    return Scenario(
        name="association_generated",
        cases=tuple(replace(case, options=()) for name, stimuli in sets.items() for case in questions(name, stimuli)),
        contexts=tuple(Context(name, "text") for name in sets),
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        measures=("implicit_association",),
        source=f"{SOURCE.folder}/iat_stimuli.csv",
    )
