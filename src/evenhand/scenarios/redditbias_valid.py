"""RedditBias, validation split: 1,212 pairs to choose and tune on, so that those of `redditbias` stay unseen.

The same comments, licence (MIT), citation (Barikeri et al., ACL 2021) and convention as `redditbias`, and the same
defects; two pairs swap nothing and six are in the test split too (marked as flaws).

Why not to trust it alone: for the reasons given there; and what was tuned on these pairs is no evidence about itself.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.redditbias import scenario


def load(data: Path | None) -> Scenario:
    """Return the pairs of the validation split; raises CannotRun where a file is absent or damaged."""
    return scenario(data, "redditbias_valid", "valid")
