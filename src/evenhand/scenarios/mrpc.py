"""MRPC: do two sentences mean the same? Read from glue/MRPC/dev.tsv under EVENHAND_DATA (put it there yourself).

The development set of the Microsoft Research Paraphrase Corpus in GLUE (408 pairs; Dolan and Brockett 2005; Wang et
al., ICLR 2019), not passed on here because of its licence. Columns of the table: Quality (1: the same), #1 ID, #2 ID,
#1 String, #2 String. Asked as lm-eval asks it.

Why not to trust it alone: 68 % of the pairs are paraphrases, so a model that says "yes" to everything gets 0.68, and
annotators disagreed about one pair in six.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.glue import Task, glue

TASK = Task(
    name="mrpc",
    file="MRPC/dev.tsv",
    columns=("#1 String", "#2 String", "Quality"),
    prompt="Sentence 1: {0}\nSentence 2: {1}\nQuestion: Do both sentences mean the same thing?\nAnswer:",
    options=(" no", " yes"),
    labels={"0": 0, "1": 1},
    licence="of Microsoft Research, for research",
    citation='A. Wang et al., "GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language Understanding", '
    'ICLR 2019; W. B. Dolan, C. Brockett, "Automatically Constructing a Corpus of Sentential Paraphrases", 2005',
)


def load(data: Path | None) -> Scenario:
    """Return the pairs; raises CannotRun where the table is absent or damaged."""
    return glue(TASK, data)
