"""BBQ after ten synonymous instructions by generated answer, as the paper on bias neurons evaluates (EVENHAND_DATA).

The very prompts of `bbq_instructions` (Yang et al., ACL 2024; see there for source, licence and measures), answered in
the model's own words. An answer picks an option by its words (`core/option_answer`), not, as in the published code, by
equality after cutting full stops and case; what picks none is wrong, and `answer_shares` says how much that is. The
published code generates greedily, at most 16 tokens: `temperature` 0 and `new_tokens` 16 do so in a suite.

Why not to trust it alone: see `bbq_instructions`; with few valid answers the scores say little.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.bbq_instructions import asked


def load(data: Path | None) -> Scenario:
    """Return the questions in ten instructions; raises CannotRun where a file is absent or damaged."""
    return asked("bbq_instructions_answers", "text", data)
