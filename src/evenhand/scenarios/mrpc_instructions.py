"""MRPC after ten synonymous instructions: do two sentences mean the same? (glue/MRPC/dev.tsv, put there yourself).

The pairs of `mrpc`, with its licence, table and defects, each after ten instructions, which are its variations, as the
paper on bias neurons (CRISPR; Yang et al., ACL 2024) asks this task. The paper's instructions for it are not public, so
these are our own, and no number can be compared with a published one. Made to fit `crispr` on: a right answer for every
case, and options that are scored.

Why not to trust it alone: pairs are paraphrases twice as often as not, so one that always says "yes" looks good.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.glue_instructions import instructed
from evenhand.scenarios._shared.glue_tasks import MRPC

INSTRUCTIONS = (
    "Decide whether the two sentences below mean the same thing.",
    "Read both sentences and say whether they have the same meaning.",
    "Tell whether the second sentence is a paraphrase of the first.",
    "Judge whether the following pair of sentences says one and the same thing.",
    "Determine if the two given sentences are equivalent in meaning.",
    "Compare the two sentences and answer whether they express the same content.",
    "Do these two sentences mean the same? Choose the right answer.",
    "Pick the answer that says whether the sentences are paraphrases of each other.",
    "For the pair of sentences below, select whether their meaning is the same.",
    "Find out if both sentences tell the same thing, and choose an answer option.",
)


def load(data: Path | None) -> Scenario:
    """Return the pairs in ten instructions; raises CannotRun where the table is absent or damaged."""
    return instructed(MRPC, data, ("Sentence 1", "Sentence 2"), INSTRUCTIONS)
