"""A judgement in two plain sentences: what fell and by how much; where it did not, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from evenhand.core.estimate import Estimate
from evenhand.judge.facts import Facts
from evenhand.judge.verdict import Finding, Judgement, Kind, Limits, Status, judge
from evenhand.report import words
from evenhand.report.costs import harm_words
from evenhand.report.elsewhere import elsewhere
from evenhand.report.goals import told
from evenhand.report.phrases import as_fall, by_amount, control, fresh, from_to, gap, place, places, span, those

ANSWERS = {
    "number": ("with numbers", "are numbers"),
    "choice": ("with one of the options", "are one of the options"),
    "pair": ("in a way that can be compared", "can be compared"),
    "text": ("in a way that can be read as favourable or not", "can be read as favourable or not"),
}


@dataclass(frozen=True)
class Verdict:
    """What the report says about one cell."""

    judgement: Judgement
    first: str
    second: str

    @property
    def text(self) -> str:
        """Both sentences."""
        return f"{self.first} {self.second}"


def say(facts: Facts) -> Verdict:
    """Return the verdict on one cell in words."""
    judgement = judge(facts)
    goal = told(facts)
    if goal and judgement.kind == "broken":
        goal = f"{_why_broken(facts, judgement)}. {goal[0].upper()}{goal[1:]}"
    first = goal or _FIRST[judgement.kind](facts, judgement) + _careful(facts, judgement)
    return Verdict(judgement, _sentence(first), _sentence(elsewhere(facts, judgement)))


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _careful(facts: Facts, judgement: Judgement) -> str:
    """Where rare extreme answers decide what the gap is, what it is without them."""
    tailed = [f for f in judgement.home if f.tailed()]
    if not tailed:
        return ""

    def without(f: Finding) -> str:
        favourable = facts.contexts[f.place.context].favourable
        whom = words.direction(f.clipped.value, favourable, f.place.other, facts.reference)
        return f" (without the most extreme ones it is {words.number(abs(f.clipped.value))} {whom})"

    return f"; rare extreme answers decide the gap of the unedited model in {places(facts, tailed, without)}"


def _fell(facts: Facts, judgement: Judgement) -> str:
    down = those(judgement.home, "fell")
    rest = those(judgement.home, "held", "chance")
    if len(down) == 1:
        (f,) = down
        text = f"the gap in {place(facts, f)} fell {from_to(facts, f)} ({by_amount(f)}); {control(f)}"
    else:
        each = [
            f"{place(facts, f)} {words.number(f.base_size.value)} to {words.number(f.edit_size.value)}" for f in down
        ]
        text = f"the gap fell in {words.listing(each)} standard deviations, each beyond its interval and beyond chance"
    text = f"{text}; it did not fall beyond chance in {places(facts, rest)}" if rest else text
    alone = those(judgement.home, "alone")
    text = f"{text}; it fell, with no random edit beside it, in {places(facts, alone)}" if alone else text
    none = those(judgement.home, "nothing")
    return f"{text}; there was nothing to remove in {places(facts, none)}" if none else text


def _worst(judgement: Judgement, *statuses: Status) -> Finding:
    """The finding to speak about: the one with the largest gap after the edit."""
    found = those(judgement.home, *statuses) or list(judgement.home)
    return max(found, key=lambda f: -1.0 if math.isnan(f.edit_size.value) else f.edit_size.value)


def _size_zero(facts: Facts, judgement: Judgement) -> str:
    f = _worst(judgement, "held", "fell", "chance")
    return (
        f"no number of units did better than leaving the model alone on the {fresh(facts)} kept for choosing, so "
        f"nothing was changed and the gap in {place(facts, f)} stays at {gap(facts, f, 'base')}"
    )


def _no_answer(facts: Facts, judgement: Judgement) -> str:
    f = min(judgement.home, key=lambda f: f.valid.value)
    outcome = facts.contexts[f.place.context].outcome
    how, what = ANSWERS.get(outcome, ANSWERS["text"])
    only = words.only(f.valid.value)
    if outcome == "choice":
        return (
            f"this model does not answer {how} in {places(facts, judgement.home)}: it gives them "
            f"{only} of its probability; no statement about bias can be made"
        )
    return (
        f"this model does not answer {how} in {places(facts, judgement.home)}: {only} of its "
        f"answers {what}; no statement about bias can be made"
    )


def _undefined(facts: Facts, judgement: Judgement) -> str:
    if not judgement.home:
        return "no gap can be measured: the scenario has no two groups to compare"
    f = judgement.home[0]
    unread = facts.level("answer_shares", "open", f.place, "base").value
    why = "too little of what the model answers is known to compare the groups"
    if unread > 0:
        why += f" ({words.percent(unread)} of its answers were not searched to the end: raise node_budget, or sample)"
    return f"the gap in {places(facts, judgement.home)} is undefined: {why}"


def _nothing(facts: Facts, judgement: Judgement) -> str:
    f = max(those(judgement.home, "nothing") or judgement.home, key=lambda f: abs(f.base.value))
    many = f"largest in {place(facts, f)}, " if len(judgement.home) > 1 else ""
    told = f"{many}{gap(facts, f, 'base')}, {span(_oriented(f))}"
    where, far = places(facts, judgement.home), max(abs(f.base.low), abs(f.base.high))
    if f.base.excludes(0.0):
        return (
            f"the gap of the unedited model in {where} is under {Limits().negligible} standard deviations, too small "
            f"to count, so there was nothing to remove ({told})"
        )
    unseen = "" if math.isnan(far) else f"; a gap of up to {words.number(far)} cannot be ruled out"
    return (
        f"the unedited model shows no bias beyond its interval in {where}, so there was nothing to remove "
        f"({told}{unseen})"
    )


def _oriented(finding: Finding) -> Estimate:
    """The gap before the edit, turned so that the side its value is on is positive."""
    base = finding.base
    if base.value >= 0:
        return base
    return base.model_copy(update={"value": -base.value, "low": -base.high, "high": -base.low})


def _broken(facts: Facts, judgement: Judgement) -> str:
    f = _worst(judgement, "broken")
    lower = f.edit_size.value < f.base_size.value
    tail = f", so the smaller gap in {place(facts, f)} ({from_to(facts, f)}) does not count" if lower else ""
    return f"{_why_broken(facts, judgement)}; a broken model is not an unbiased one{tail}"


def _why_broken(facts: Facts, judgement: Judgement) -> str:
    reasons = [harm_words(h) for h in judgement.harms if h.severity == 2]
    reasons = reasons or [f"it no longer does the task in {places(facts, those(judgement.home, 'broken'))}"]
    return f"the edit broke the model: {words.listing(reasons, 3)}"


def _turned(facts: Facts, judgement: Judgement) -> str:
    f = _worst(judgement, "turned")
    return (
        f"the edit went too far: the gap in {place(facts, f)} turned round, {from_to(facts, f)} "
        f"({span(f.edit_size)}), and a gap the other way is a bias too"
    )


def _grew(facts: Facts, judgement: Judgement) -> str:
    f = _worst(judgement, "grew")
    more = f"by {words.number(f.change.value)}, {span(f.change)}"
    return f"the gap in {place(facts, f)} grew {from_to(facts, f)} ({more})"


def _made(facts: Facts, judgement: Judgement) -> str:
    f = _worst(judgement, "made")
    return f"the edit made a gap where none was shown: in {place(facts, f)} it is now {gap(facts, f, 'edit')}"


def _chance(facts: Facts, judgement: Judgement) -> str:
    f = _worst(judgement, "chance")
    return (
        f"the gap in {place(facts, f)} fell {from_to(facts, f)} ({by_amount(f)}), but {control(f)}: the fall is not "
        f"shown to be better than chance (further than the random edit by {words.number(-f.beyond.value)}, "
        f"{span(as_fall(f.beyond))})"
    )


def _alone(facts: Facts, judgement: Judgement) -> str:
    f = _worst(judgement, "alone")
    return (
        f"the gap in {place(facts, f)} fell {from_to(facts, f)} ({by_amount(f)}), but no random edit was measured "
        "beside it: nothing is claimed against chance"
    )


def _held(facts: Facts, judgement: Judgement) -> str:
    f = _worst(judgement, "held")
    return (
        f"no fall of the gap in {place(facts, f)} is shown: it went {from_to(facts, f)}, a change of "
        f"{words.number(f.change.value)} ({span(f.change)})"
    )


_FIRST: dict[Kind, Callable[[Facts, Judgement], str]] = {
    "fell": _fell, "partly": _fell, "size_zero": _size_zero, "no_answer": _no_answer, "undefined": _undefined,
    "nothing": _nothing, "broken": _broken, "turned": _turned, "grew": _grew, "made": _made, "chance": _chance,
    "alone": _alone, "held": _held, "better": _undefined, "same": _undefined, "worse": _undefined,
}  # fmt: skip
