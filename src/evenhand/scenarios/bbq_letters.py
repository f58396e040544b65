"""BBQ by answer letter: the questions of `bbq` with A, B and C to choose from, each in three orders (EVENHAND_DATA).

Parrish et al., Findings of ACL 2022 (CC BY 4.0); what it measures, its defects and why not to trust it alone: see
`bbq`. The three answers are listed in the prompt (our wording, the paper has none for language models) and the letter's
log-likelihood decides, so the length of an answer does not count. Every question is asked in its three cyclic orders,
as variations: each answer has each letter once, so a liking for a letter cannot pass for a bias. A model that chooses
by letter alone has an accuracy of a third over the three orders, and a bias of about 0.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.bbq import official, scenario
from evenhand.scenarios._shared.bbq_forms import by_letter


def load(data: Path | None) -> Scenario:
    """Return the questions of `bbq` in three orders; raises CannotRun where a file is absent or damaged."""
    return scenario("bbq_letters", "choice", official(data), by_letter)
