"""BBQ after ten synonymous instructions, as the paper on bias neurons asks it; options are scored (EVENHAND_DATA).

The questions of `bbq` about age and disability (Parrish et al., Findings of ACL 2022, CC BY 4.0), each after the ten
instructions of CRISPR (Yang et al., ACL 2024, Table 6, MIT), which are its variations: 5,236 questions, 52,360 cases.
The prompt is the published one to the letter (two spaces where the paper has them; the fifth instruction ends without
one); the answers in their row's order are listed in it, and each is scored in full. The third category of the paper,
SES, is asked too where its official file is put beside the others; as for `bbq`, it is not at hand as published.

Measures: `accuracy` (the paper's "bias" score is nothing else), `bbq_accuracy` by whether the context tells the
answer, `bbq_bias`. Made to fit `crispr` on: a right answer for every case, templates as clusters, instructions as
variations. By generated answer: `bbq_instructions_answers`.

Defects of the questions: see `bbq`. Why not to trust it alone: on half of the questions "cannot be determined" is
right, so a model that says nothing else gets half of all right; the wordings of "unknown" stand in the prompt.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.bbq_instructions import asked


def load(data: Path | None) -> Scenario:
    """Return the questions in ten instructions; raises CannotRun where a file is absent or damaged."""
    return asked("bbq_instructions", "choice", data)
