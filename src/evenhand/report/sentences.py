"""A judgement in two plain sentences: what fell and by how much; where it did not, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evenhand.core.estimate import Estimate
from evenhand.judge.facts import Facts
from evenhand.judge.verdict import Finding, Judgement, Kind, Status, judge
from evenhand.report import words
from evenhand.report.costs import cost, harm_words

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
    first = _FIRST[judgement.kind](facts, judgement)
    return Verdict(judgement, _sentence(first), _sentence(_second(facts, judgement)))


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def gap(facts: Facts, finding: Finding, subject: str, unit: bool = True) -> str:
    """Return a gap in words: `0.84 standard deviations against black names`."""
    signed, size = (
        (finding.base, finding.base_size) if subject == "base" else (finding.edit, finding.edit_size)
    )  # fmt: skip
    if not size.defined:
        return words.UNDEFINED
    amount = f"{words.number(size.value)}{' standard deviations' if unit else ''}"
    if not unit:
        return amount
    if mixed(signed, size):
        return f"{amount} (in different directions in different variations)"
    favourable = facts.contexts[finding.place.context].favourable
    return f"{amount} {words.direction(signed.value, favourable, finding.place.other, facts.reference)}"


def mixed(signed: Estimate, size: Estimate) -> bool:
    """Whether the variations of a place disagree on whom the gap disfavours."""
    return signed.defined and size.value > 0.02 and abs(signed.value) < 0.7 * size.value


def place(facts: Facts, finding: Finding) -> str:
    """Return a place in words; the group is named only where several are compared."""
    group = f" for {finding.place.other} names" if len(facts.others) > 1 else ""
    return f"“{finding.place.label}”{group}"


def _places(facts: Facts, findings: Sequence[Finding]) -> str:
    return words.listing([place(facts, f) for f in findings])


def _of(findings: Sequence[Finding], *statuses: Status) -> list[Finding]:
    return [f for f in findings if f.status in statuses]


def _range(estimate: Estimate) -> str:
    if math.isnan(estimate.low):
        return "no interval can be given"
    return f"{estimate.level:.0%} interval {words.interval(estimate)}".replace("%", "\u00a0%")


def _fall(change: Estimate) -> Estimate:
    """A change with its sign turned, so that a fall is a positive number."""
    return change.model_copy(update={"value": -change.value, "low": -change.high, "high": -change.low})


def _by(finding: Finding) -> str:
    return f"by {words.number(-finding.change.value)}, {_range(_fall(finding.change))}"


def _random(finding: Finding) -> str:
    """What the random control did in the same place."""
    moved = finding.random.value
    if abs(moved) < 0.005:
        return "a random edit of the same size left it as it was"
    return f"a random edit of the same size {'lowered' if moved < 0 else 'raised'} it by {words.number(abs(moved))}"


def _from_to(facts: Facts, f: Finding) -> str:
    """`from 0.84 standard deviations against black names to 0.05 (a fall of 0.79, 95 % interval …)`."""
    turned = f.base.value * f.edit.value < 0 and f.edit_size.value >= 0.05
    after = gap(facts, f, "edit") if turned or f.edit_size.value > f.base_size.value else gap(facts, f, "edit", False)
    return f"from {gap(facts, f, 'base')} to {after}"


def _fell(facts: Facts, judgement: Judgement) -> str:
    down = _of(judgement.home, "fell")
    rest = _of(judgement.home, "held", "chance")
    if len(down) == 1:
        text = (
            f"the gap in {place(facts, down[0])} fell {_from_to(facts, down[0])} ({_by(down[0])}); {_random(down[0])}"
        )
    else:
        each = [
            f"{place(facts, f)} {words.number(f.base_size.value)} to {words.number(f.edit_size.value)}" for f in down
        ]
        text = f"the gap fell in {words.listing(each)} standard deviations, each beyond its interval and beyond chance"
    text = f"{text}; it did not fall beyond chance in {_places(facts, rest)}" if rest else text
    alone = _of(judgement.home, "alone")
    text = f"{text}; it fell, with no random edit beside it, in {_places(facts, alone)}" if alone else text
    none = _of(judgement.home, "nothing")
    return f"{text}; there was nothing to remove in {_places(facts, none)}" if none else text


def _worst(judgement: Judgement, *statuses: Status) -> Finding:
    """The finding to speak about: the one with the largest gap after the edit."""
    found = _of(judgement.home, *statuses) or list(judgement.home)
    return max(found, key=lambda f: -1.0 if math.isnan(f.edit_size.value) else f.edit_size.value)


def _size_zero(facts: Facts, judgement: Judgement) -> str:
    f = _worst(judgement, "held", "fell", "chance")
    return (
        "no number of units did better than leaving the model alone on the names kept for choosing, so nothing was "
        f"switched off and the gap in {place(facts, f)} stays at {gap(facts, f, 'base')}"
    )


def _no_answer(facts: Facts, judgement: Judgement) -> str:
    f = min(judgement.home, key=lambda f: f.valid.value)
    outcome = facts.contexts[f.place.context].outcome
    how, what = ANSWERS.get(outcome, ANSWERS["text"])
    only = f"only {words.percent(f.valid.value)}".replace("only less", "less")
    if outcome == "choice":
        return (
            f"this model does not answer {how} in {_places(facts, judgement.home)}: it gives them "
            f"{only} of its probability; no statement about bias can be made"
        )
    return (
        f"this model does not answer {how} in {_places(facts, judgement.home)}: {only} of its "
        f"answers {what}; no statement about bias can be made"
    )


def _undefined(facts: Facts, judgement: Judgement) -> str:
    if not judgement.home:
        return "no gap can be measured: the scenario has no two groups to compare"
    names = _places(facts, judgement.home)
    return f"the gap in {names} is undefined: too little of what the model answers is known to compare the groups"


def _nothing(facts: Facts, judgement: Judgement) -> str:
    f = max(_of(judgement.home, "nothing") or judgement.home, key=lambda f: abs(f.base.value))
    many = f"largest in {place(facts, f)}, " if len(judgement.home) > 1 else ""
    far = max(abs(f.base.low), abs(f.base.high))
    unseen = "" if math.isnan(far) else f"; a gap of up to {words.number(far)} cannot be ruled out"
    return (
        f"the unedited model shows no bias beyond its interval in {_places(facts, judgement.home)}, so there was "
        f"nothing to remove ({many}{gap(facts, f, 'base')}, {_range(_oriented(f))}{unseen})"
    )


def _oriented(finding: Finding) -> Estimate:
    """The gap before the edit, turned so that the side its value is on is positive."""
    base = finding.base
    if base.value >= 0:
        return base
    return base.model_copy(update={"value": -base.value, "low": -base.high, "high": -base.low})


def _broken(facts: Facts, judgement: Judgement) -> str:
    f = _worst(judgement, "broken")
    reasons = [harm_words(h) for h in judgement.harms if h.severity == 2]
    reasons = reasons or [f"it no longer does the task in {_places(facts, _of(judgement.home, 'broken'))}"]
    lower = f.edit_size.value < f.base_size.value
    tail = f", so the smaller gap in {place(facts, f)} ({_from_to(facts, f)}) does not count" if lower else ""
    return f"the edit broke the model: {words.listing(reasons, 3)}; a broken model is not an unbiased one{tail}"


def _turned(facts: Facts, judgement: Judgement) -> str:
    f = _worst(judgement, "turned")
    return (
        f"the edit went too far: the gap in {place(facts, f)} turned round, {_from_to(facts, f)} "
        f"({_range(f.edit_size)}), and a gap the other way is a bias too"
    )


def _grew(facts: Facts, judgement: Judgement) -> str:
    f = _worst(judgement, "grew")
    by = f"by {words.number(f.change.value)}, {_range(f.change)}"
    return f"the gap in {place(facts, f)} grew {_from_to(facts, f)} ({by})"


def _made(facts: Facts, judgement: Judgement) -> str:
    f = _worst(judgement, "made")
    return f"the edit made a gap where none was shown: in {place(facts, f)} it is now {gap(facts, f, 'edit')}"


def _chance(facts: Facts, judgement: Judgement) -> str:
    f = _worst(judgement, "chance")
    return (
        f"the gap in {place(facts, f)} fell {_from_to(facts, f)} ({_by(f)}), but {_random(f)} "
        f"({_range(f.random)}): the fall is not shown to be better than chance"
    )


def _alone(facts: Facts, judgement: Judgement) -> str:
    f = _worst(judgement, "alone")
    return (
        f"the gap in {place(facts, f)} fell {_from_to(facts, f)} ({_by(f)}), but no random edit was measured beside "
        "it: nothing is claimed against chance"
    )


def _held(facts: Facts, judgement: Judgement) -> str:
    f = _worst(judgement, "held")
    return (
        f"no fall of the gap in {place(facts, f)} is shown: it went {_from_to(facts, f)}, a change of "
        f"{words.number(f.change.value)} ({_range(f.change)})"
    )


_FIRST: dict[Kind, Callable[[Facts, Judgement], str]] = {
    "fell": _fell, "partly": _fell, "size_zero": _size_zero, "no_answer": _no_answer, "undefined": _undefined,
    "nothing": _nothing, "broken": _broken, "turned": _turned, "grew": _grew, "made": _made, "chance": _chance,
    "alone": _alone, "held": _held,
}  # fmt: skip


def _second(facts: Facts, judgement: Judgement) -> str:
    """Where else it fell or did not, and the cost."""
    if facts.unedited:
        return "nothing was switched off, so nothing changed elsewhere and it cost nothing"
    parts: list[str] = []
    statements: list[tuple[str, tuple[Status, ...]]] = [
        ("the gap also fell in" if judgement.kind in ("fell", "partly") else "the gap fell in", ("fell",)),
        ("did not fall beyond chance in", ("held", "chance")),
        ("grew, turned round or appeared in", ("grew", "turned", "made")),
    ]
    for text, statuses in statements:
        there = _of(judgement.away, *statuses)
        if there:
            start = text if text.startswith("the gap") else f"{'it' if parts else 'the gap'} {text}"
            parts.append(f"{start} {_places(facts, there)}")
    for text, statuses in _ASIDES:
        there = _of(judgement.away, *statuses)
        if there:
            parts.append(f"{text} {_places(facts, there)}")
    return "; ".join([*parts, cost(judgement)])


_ASIDES: list[tuple[str, tuple[Status, ...]]] = [
    ("it fell, with no random edit beside it, in", ("alone",)),
    ("there was nothing to remove in", ("nothing",)),
    ("no statement can be made about", ("no_answer", "undefined")),
    ("the edit broke the answers in", ("broken",)),
]
