"""Phrases that the sentences of a verdict are made of: gaps, places, falls and their intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from evenhand.core.estimate import Estimate
from evenhand.judge.facts import Facts
from evenhand.judge.verdict import Finding, Status
from evenhand.report import words


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


def places(facts: Facts, findings: Sequence[Finding], tell: Callable[[Finding], str] = lambda f: "") -> str:
    """Return several places in words, what `tell` says of each behind it."""
    return words.listing([f"{place(facts, f)}{tell(f)}" for f in findings])


def those(findings: Sequence[Finding], *statuses: Status) -> list[Finding]:
    """Return the findings of these statuses."""
    return [f for f in findings if f.status in statuses]


def span(estimate: Estimate) -> str:
    """Return `95 % interval 0.67 to 0.91`."""
    if math.isnan(estimate.low):
        return "no interval can be given"
    return f"{estimate.level:.0%} interval {words.interval(estimate)}".replace("%", "\u00a0%")


def as_fall(change: Estimate) -> Estimate:
    """Return a change with its sign turned, so that a fall is a positive number."""
    return change.model_copy(update={"value": -change.value, "low": -change.high, "high": -change.low})


def by_amount(finding: Finding) -> str:
    """Return by how much a gap fell: `by 0.79, 95 % interval 0.67 to 0.91`."""
    return f"by {words.number(-finding.change.value)}, {span(as_fall(finding.change))}"


def control(finding: Finding) -> str:
    """Return what the random edit did in the same place."""
    moved = finding.random.value
    if math.isnan(moved):
        return "what a random edit of the same size does there is undefined"
    if abs(moved) < 0.005:
        return "a random edit of the same size left it as it was"
    return f"a random edit of the same size {'lowered' if moved < 0 else 'raised'} it by {words.number(abs(moved))}"


def from_to(facts: Facts, f: Finding) -> str:
    """Return `from 0.84 standard deviations against black names to 0.05`; the direction again where it is another."""
    turned = f.base.value * f.edit.value < 0 and f.edit_size.value >= 0.05
    other = turned or mixed(f.edit, f.edit_size) != mixed(f.base, f.base_size)
    return f"from {gap(facts, f, 'base')} to {gap(facts, f, 'edit', other)}"


def fresh(facts: Facts) -> str:
    """Return what the three steps do not share: `names` (`questions` without groups), or `variations`."""
    if facts.cell.spec.run.get("split", {}).get("by") == "variation":
        return "variations"
    return "names" if len(facts.scenario.groups) > 1 else "questions"
