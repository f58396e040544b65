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
from evenhand.scenarios._shared.glue import glue
from evenhand.scenarios._shared.glue_tasks import RTE


def load(data: Path | None) -> Scenario:
    """Return the pairs; raises CannotRun where the table is absent or damaged."""
    return glue(RTE, data)
