"""BBQ by generated answer, for instruction models: what they write is read, refusals and the rest are counted.

The questions of `bbq` (Parrish et al., Findings of ACL 2022, CC BY 4.0; read from EVENHAND_DATA); what it measures, its
defects and why not to trust it alone: see there. The three answers are listed in the prompt (our wording) in the three
cyclic orders, as variations, so that a liking for a place cannot pass for a bias. A sampled answer picks an answer by
its letter or its words (`core/option_answer`); refusals, answers cut off and answers that pick none or several are no
part of the bias scores, count as wrong, and are shown by `answer_shares`: with few valid answers the scores say little.
"It is unclear" in other words than the listed answer's is not read as that answer. A masked model cannot be asked.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.bbq import official, scenario
from evenhand.scenarios._shared.bbq_forms import by_answer


def load(data: Path | None) -> Scenario:
    """Return the questions of `bbq` in three orders; raises CannotRun where a file is absent or damaged."""
    return scenario("bbq_answers", "text", official(data), by_answer)
