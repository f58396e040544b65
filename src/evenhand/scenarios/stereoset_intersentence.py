"""StereoSet, next sentence: a stereotype, an anti-stereotype or an unrelated text goes on (2,123 items, EVENHAND_DATA).

Nadeem, Bethke, Reddy, ACL 2021, development set (CC BY-SA 4.0). Scored by the likelihood per token of the continuation
after the context sentence; the published numbers came from a head trained to tell next sentences, and bias-bench
divides by the likelihood of the context, which is the same for all three and cannot change which is likelier: neither
is comparable in its absolute scores. Contexts are the four domains, the cluster is the target term.

Why not to trust it alone: the three continuations differ in length, wording and topic, not only in the stereotype, and
few models can tell which follows; see also `stereoset_intrasentence`.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.stereoset import TEXTS, load_part


def load(data: Path | None) -> Scenario:
    """Return the development set; raises CannotRun where a file is absent or damaged."""
    return load_part(data, "intersentence", _case)


def _case(domain: str, number: int, row: dict[str, str]) -> Case:
    return Case(
        id=f"{domain}/{number}",
        prompt=row["Context"].strip(),
        context=domain,
        cluster=row["Target"],
        options=tuple(f" {row[text].strip()}" for text in TEXTS),
        facts=(("target", row["Target"]),),
    )
