"""RTE: does one sentence follow from another? Read from glue/RTE/dev.tsv under EVENHAND_DATA (put it there yourself).

The development set of Recognizing Textual Entailment in GLUE (277 pairs; Dagan et al. 2005 and later; Wang et al.,
ICLR 2019), not passed on here because its makers gave it no free licence. Columns of the table: index, sentence1,
sentence2, label (entailment or not_entailment). Asked as lm-eval asks it; guessing gives 0.5.

Why not to trust it alone: 277 pairs leave an interval of ± 6 points, and a model that says "True" to everything gets
0.53.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.glue import ENTAILMENT, Task, glue

TASK = Task(
    name="rte",
    columns=("sentence1", "sentence2", "label"),
    prompt="{0}\nQuestion: {1} True or False?\nAnswer:",
    options=(" True", " False"),
    labels=ENTAILMENT,
    licence="of the RTE challenges, for research",
    paper='I. Dagan, O. Glickman, B. Magnini, "The PASCAL Recognising Textual Entailment Challenge", 2005',
)


def load(data: Path | None) -> Scenario:
    """Return the pairs; raises CannotRun where the table is absent or damaged."""
    return glue(TASK, data)
