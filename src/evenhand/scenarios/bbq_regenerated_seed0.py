"""BBQ's other four categories (regenerated, seed 0), by full text: NOT the published rows (EVENHAND_DATA).

SES, Race_ethnicity, Race_x_SES and Race_x_gender come from BBQ's own generator with a seed (Parrish et al., Findings of
ACL 2022, CC BY 4.0): as many rows as published (40,864), but names, word choices, the "unknown" phrase and the order of
answers differ. Report results as "BBQ (regenerated, seed 0)", and compare them with no published number on SES or race;
every context says so. Asked and scored as `bbq`; by letter: `bbq_regenerated_seed0_letters`; by generated answer:
`bbq_regenerated_seed0_answers`.

Known defects: where both persons, or none, belong to the stereotyped groups (a third of the rows of the two
intersectional categories, where the groups name races only and the two persons may share theirs), or the row does not
say who a person is, the stereotyped answer cannot be derived: these rows are marked as flaws and no part of the bias
scores. Why not to trust it alone: as `bbq`, and nobody has validated these rows.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.bbq import regenerated, scenario
from evenhand.scenarios._shared.bbq_forms import by_text


def load(data: Path | None) -> Scenario:
    """Return the 40,864 questions; raises CannotRun where a file is absent or damaged."""
    return scenario("bbq_regenerated_seed0", "choice", regenerated(data), by_text)
