"""Whether a model does a task at all: what it shows where it does not is neither bias nor fairness."""

from __future__ import annotations

from collections.abc import Sequence

from evenhand.core.record import Row
from evenhand.judge.verdict import Limits


def unanswered(rows: Sequence[Row], context: str, limits: Limits = Limits()) -> str:
    """Return why no statement about bias can be made of a context; empty where the model does the task."""
    asked = (
        ("answer_shares", "valid", limits.valid, "of its answers are valid"),
        ("option_mass", "value", limits.option_mass, "of its probability is on the options"),
    )
    for name, key, least, what in asked:
        levels = [r for r in rows if (r.measure, r.key, r.context, r.variation) == (name, key, context, "")]
        if levels and (share := max(levels, key=lambda row: len(row.groups)).estimate.value) < least:
            return f"the model does not do the task: {share:.2g} {what}, at least {least:g} must be"
    return ""
