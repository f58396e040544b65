"""RTE after ten synonymous instructions: does one sentence follow from another? (glue/RTE/dev.tsv, put there yourself).

The pairs of `rte`, with its licence, table and defects, each after ten instructions, which are its variations, as the
paper on bias neurons (CRISPR; Yang et al., ACL 2024) asks this task. The paper's instructions for it are not public, so
these are our own, and no number can be compared with a published one. Made to fit `crispr` on: a right answer for every
case, and options that are scored.

Why not to trust it alone: 277 pairs leave an interval of ± 6 points, however many instructions they are asked in.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.glue_instructions import instructed
from evenhand.scenarios._shared.glue_tasks import RTE

INSTRUCTIONS = (
    "Decide whether the statement follows from the text.",
    "Read the text and say whether the statement must be true.",
    "Tell whether the text below entails the statement.",
    "Judge whether the statement can be concluded from the text.",
    "Determine if the given text implies the given statement.",
    "Compare text and statement and answer whether the one supports the other.",
    "Is the statement true if the text is? Choose the right answer.",
    "Pick the answer that says whether the statement is a consequence of the text.",
    "For the text below, select whether the statement is True or False.",
    "Find out if the text makes the statement true, and choose an answer option.",
)


def load(data: Path | None) -> Scenario:
    """Return the pairs in ten instructions; raises CannotRun where the table is absent or damaged."""
    return instructed(RTE, data, ("Text", "Statement"), INSTRUCTIONS)
