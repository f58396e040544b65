"""MRPC: do two sentences mean the same? Read from glue/MRPC/dev.tsv under EVENHAND_DATA (put it there yourself).

The development set of the Microsoft Research Paraphrase Corpus in GLUE (408 pairs; Dolan and Brockett 2005; Wang et
al., ICLR 2019), not passed on here because of its licence. Without it msr_paraphrase_test.txt in the same folder is
read, the test set as Microsoft gives it out, with labels: 1,725 other pairs, so never compare one with the other.
Columns of both: Quality (1: the same), #1 ID, #2 ID, #1 String, #2 String. Asked as lm-eval asks it; counted, as in
GLUE, by accuracy and by F1 of the answer "yes".

Why not to trust it alone: 68 % of the pairs are paraphrases, so a model that says "yes" to everything has an accuracy
of 0.68 and an F1 of 0.81, and annotators disagreed about one pair in six.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.glue import glue
from evenhand.scenarios._shared.glue_tasks import MRPC


def load(data: Path | None) -> Scenario:
    """Return the pairs; raises CannotRun where the table is absent or damaged."""
    return glue(MRPC, data)
