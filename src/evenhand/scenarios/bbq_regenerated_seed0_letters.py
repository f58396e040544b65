"""BBQ's other four categories (regenerated, seed 0), by answer letter: NOT the published rows (EVENHAND_DATA).

The questions of `bbq_regenerated_seed0` (Parrish et al., Findings of ACL 2022, CC BY 4.0), whose defects these are too,
asked and scored as `bbq_letters`: by the log-likelihood of A, B and C, in three orders. Report results as "BBQ
(regenerated, seed 0)", and compare them with no published number.

Why not to trust it alone: for the reasons given in `bbq`, and nobody has validated these rows.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.bbq import regenerated, scenario
from evenhand.scenarios._shared.bbq_forms import by_letter


def load(data: Path | None) -> Scenario:
    """Return the 40,864 questions in three orders; raises CannotRun where a file is absent or damaged."""
    return scenario("bbq_regenerated_seed0_letters", "choice", regenerated(data), by_letter)
