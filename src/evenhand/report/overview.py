"""What all edits of a model come to: the best method, how far luck gets, every edit in one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evenhand.judge.goal import goal_name
from evenhand.judge.verdict import Tone
from evenhand.report import words
from evenhand.report.cells import Cell
from evenhand.report.tables import Table

UNABLE = ("no_answer", "undefined")
FELL = ("fell", "partly")


@dataclass(frozen=True)
class Best:
    """The best method of a model, if one helped, and what to say about it."""

    text: str
    tone: Tone
    method: str = ""
    example: Cell | None = None
    """The first of its edits for which there was a gap to lower."""


def best(cells: Sequence[Cell]) -> Best:
    """Return the method that removed most of the gaps there were, beyond chance and without breaking the model."""
    tried = [cell for cell in cells if not cell.called.method.control]
    if not tried:
        return Best("Only the random control was run.", "mixed")
    able = [cell for cell in tried if cell.verdict.judgement.kind not in UNABLE]
    if not able:
        return Best(_speechless(tried), "none")
    found: list[tuple[float, Best]] = []
    for method in dict.fromkeys(cell.called.method for cell in able):
        own = [c for c in able if c.called.method == method and c.verdict.judgement.kind != "nothing"]
        proven = [c for c in own if not c.called.unproven]
        better = [c for c in proven if c.verdict.judgement.kind == "better"]
        if 2 * len(better) > len(own):
            where = f" in {len(better)} of its {len(own)} edits" if len(own) > 1 else ""
            text = f"did better on the study's goal, beyond chance{where}."
            found.append((len(better) / len(own), Best(text, "good", method.label, better[0])))
        fell = [c.verdict.judgement.removed for c in proven if c.verdict.judgement.kind in FELL]
        if fell:
            where = f"all {len(own)}" if len(fell) == len(own) > 1 else f"{len(fell)} of the {len(own)}"
            average = words.percent(sum(fell) / len(fell))
            text = (
                f"lowered the gap beyond chance in {where} places where there was one to lower, there by {average} of "
                "its size on average."
                if len(own) > 1
                else f"lowered the gap beyond chance, by {average} of its size."
            )
            found.append((sum(fell) / len(own), Best(text, "good", method.label, own[0])))
    if found:
        return max(found, key=lambda each: each[0])[1]
    said = [f"{n} × {c.lower()}" for c, n in Counter(x.verdict.judgement.label for x in tried).most_common()]
    aim = "do better on the study's goal" if goal_name(tried[0].judged.facts) else "lower a gap"
    most = " in most of its edits" if len(tried) > len({cell.called.method for cell in tried}) else ""
    why = f"No method is shown to {aim} beyond chance{most} without breaking the model: {words.listing(said, 6)}."
    if any(cell.called.unproven for cell in tried):
        why += " Beside one random edit some look better; beyond all their controls they do not."
    return Best(why, "mixed")


def _speechless(tried: Sequence[Cell]) -> str:
    """Why nothing can be said about a model."""

    def where(kind: Literal["no_answer", "undefined"]) -> str:
        found = dict.fromkeys(f"“{c.called.fitted}”" for c in tried if c.verdict.judgement.kind == kind)
        return words.listing(list(found), 8) if found else ""

    silent, unclear = where("no_answer"), where("undefined")
    if not unclear:
        return (
            "This model does not do the task in any use case it was fitted on: no statement about its bias can be made."
        )
    rest = f"; it does not do the task in {silent}" if silent else ""
    return f"No statement about this model's bias can be made: too little of its answers is known in {unclear}{rest}."


def luck(cells: Sequence[Cell]) -> str:
    """Return how often units picked at random got the verdict that the gap fell; empty where they never did."""
    told = [cell.verdict.judgement.kind for cell in cells if cell.called.method.picks]
    told = [kind for kind in told if kind not in (*UNABLE, "nothing", "size_zero")]
    lucky = sum(kind in FELL for kind in told)
    if not lucky:
        return ""
    return (
        f"Units picked at random got the verdict that the gap fell in {lucky} of {words.count(len(told), 'place')}: so "
        "often luck alone passes the test here, when the luckiest of several sizes is kept."
    )


def summary(cells: Sequence[Cell], goal: str = "") -> Table:
    """Return every edit in numbers: of the gap, or of the study's goal."""
    numbers = (
        (f"{goal} before", f"{goal} after", "change (interval)", "change, random edit")
        if goal
        else ("gap before, SD", "gap after, SD", "change, SD (interval)", "random edit, SD")
    )
    head = ("fitted on", "model", "method", "verdict", *numbers, "perplexity")
    rows = tuple(
        (c.called.fitted, c.called.model, c.called.method.label, c.verdict.judgement.label, c.before, c.after, c.change,
         c.random, c.perplexity)
        for c in cells
    )  # fmt: skip
    return Table("Every edit", head, rows)
