"""QNLI after ten synonymous instructions: does a sentence answer a question? (glue/QNLI/dev.tsv, put there yourself).

The pairs of `qnli`, with its licence, table and defects, each after ten instructions, which are its variations, as the
paper on bias neurons (CRISPR; Yang et al., ACL 2024) asks this task. The paper's instructions for it are not public, so
these are our own, and no number can be compared with a published one. Made to fit `crispr` on: a right answer for every
case, and options that are scored.

Why not to trust it alone: that question and sentence share words tells much of the answer.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.glue_instructions import instructed
from evenhand.scenarios._shared.glue_tasks import QNLI

INSTRUCTIONS = (
    "Decide whether the sentence answers the question.",
    "Read question and sentence and say whether the answer is in the sentence.",
    "Tell whether the sentence below contains the answer to the question.",
    "Judge whether the question can be answered with the sentence.",
    "Determine if the given sentence holds the answer to the given question.",
    "Compare question and sentence and answer whether the one resolves the other.",
    "Does the sentence answer the question? Choose the right answer.",
    "Pick the answer that says whether the sentence tells what the question asks.",
    "For the question below, select whether the sentence answers it.",
    "Find out if the sentence says what is asked, and choose an answer option.",
)


def load(data: Path | None) -> Scenario:
    """Return the pairs in ten instructions; raises CannotRun where the table is absent or damaged."""
    return instructed(QNLI, data, ("Question", "Sentence"), INSTRUCTIONS)
