"""QNLI: does a sentence answer a question? Read from glue/QNLI/dev.tsv under EVENHAND_DATA (put it there yourself).

The development set of the question-answering task of GLUE (5,463 pairs, made from SQuAD by Wang et al., ICLR 2019).
Columns of the table: index, question, sentence, label (entailment: it does; or not_entailment). Asked as lm-eval asks
it; guessing gives 0.5.

Why not to trust it alone: that question and sentence share words tells much of the answer.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.glue import glue
from evenhand.scenarios._shared.glue_tasks import QNLI


def load(data: Path | None) -> Scenario:
    """Return the pairs; raises CannotRun where the table is absent or damaged."""
    return glue(QNLI, data)
