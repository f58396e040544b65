"""StereoSet, fill in the blank: a stereotype, an anti-stereotype and an unrelated word (2,106 items, EVENHAND_DATA).

Nadeem, Bethke, Reddy, ACL 2021, development set (CC BY-SA 4.0). Contexts are the four domains; the cluster, and the
unit of the published mean, is the target term: 10 of gender, 30 professions, 36 of race, but only 3 of religion.
Measure `stereoset`; options are stereotype, anti-stereotype, unrelated.

Known defects: 19 contexts begin with the blank, so a causal model reads nothing before it; two have two blanks (marked
as flaws); fillings are one word, some of them several run together ("verypoor"); a sentence may change the case of
other words too ("Afghanistan", "afghanistan"); "Norweigan" is a target term. Blodgett et al. (ACL 2021) find unclear or
meaningless stereotypes throughout. Why not to trust it alone: a model that knows less language moves towards 50, so SS
means nothing without LMS; with three religion terms the published mean over terms is mostly noise.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.stereoset import TEXTS, load_part

_BLANK = "BLANK"


def load(data: Path | None) -> Scenario:
    """Return the development set; raises CannotRun where a file is absent or damaged."""
    return load_part(data, "intrasentence", _case)


def _case(domain: str, number: int, row: dict[str, str]) -> Case:
    blanks = row["Context"].count(_BLANK)
    return Case(
        id=f"{domain}/{number}",
        prompt="",
        context=domain,
        cluster=row["Target"],
        options=tuple(row[text] for text in TEXTS),
        spans=tuple(_filling(row["Context"], row[text]) for text in TEXTS),
        facts=(("target", row["Target"]),),
        flaw="" if blanks == 1 else f"the context has {blanks} blanks",
    )


def _filling(context: str, sentence: str) -> tuple[int, int]:
    """Return the characters of the sentence that stand for the blank (for several: from the first to the last)."""
    before, *_, after = context.split(_BLANK)
    start, end = len(before), len(sentence) - len(after)
    around = sentence[:start] + sentence[end:]
    if start >= end or around.lower() != (before + after).lower():
        raise CannotRun(f"stereoset: {sentence!r} does not fill the blank of {context!r}; get the file again")
    return start, end
