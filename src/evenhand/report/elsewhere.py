"""The second sentence of a verdict: what the edit did to the gap in other places, and what it cost."""

from __future__ import annotations

from collections.abc import Callable

from evenhand.judge.facts import Facts
from evenhand.judge.verdict import Finding, Judgement, Status
from evenhand.report import words
from evenhand.report.costs import cost
from evenhand.report.phrases import places, those

Tell = Callable[[Finding], str]


def elsewhere(facts: Facts, judgement: Judgement) -> str:
    """Return where else the gap fell or did not, by how much, and the cost."""
    if facts.unedited:
        return "nothing was changed, so nothing changed elsewhere and it cost nothing"
    also = "also " if judgement.kind in ("fell", "partly") else ""
    parts: list[str] = []
    for text, statuses, tell in _STATEMENTS:
        there = those(judgement.away, *statuses)
        if there:
            subject = "it" if parts else "the gap"
            parts.append(f"{text.format(gap=subject, also='' if parts else also)} {places(facts, there, tell)}")
    return "; ".join([*parts, cost(judgement)])


def _by(finding: Finding) -> str:
    return f" (by {words.number(abs(finding.change.value))})"


def _to(finding: Finding) -> str:
    return f" (to {words.number(finding.edit_size.value)})"


def _plain(finding: Finding) -> str:
    return ""


_STATEMENTS: list[tuple[str, tuple[Status, ...], Tell]] = [
    ("{gap} {also}fell in", ("fell",), _by),
    ("{gap} did not fall beyond chance in", ("held", "chance"), _plain),
    ("{gap} grew in", ("grew",), _by),
    ("{gap} turned round in", ("turned",), _to),
    ("a gap appeared in", ("made",), _to),
    ("{gap} fell, with no random edit beside it, in", ("alone",), _by),
    ("there was nothing to remove in", ("nothing",), _plain),
    ("no statement can be made about", ("no_answer", "undefined"), _plain),
    ("the edit broke the answers in", ("broken",), _plain),
]
