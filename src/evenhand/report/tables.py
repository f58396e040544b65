"""The numbers behind the figures, as tables of plain text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evenhand.core.estimate import Estimate
from evenhand.core.explained import UnitRecord
from evenhand.core.record import CellRecord, ContextRecord
from evenhand.judge.facts import GAP, Facts, Place, shown
from evenhand.judge.verdict import answers
from evenhand.report import words
from evenhand.report.cell_figures import PANELS, SUBJECTS
from evenhand.report.figures import Judged


@dataclass(frozen=True)
class Table:
    """A table with a caption; the first column names the row."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


EMPTY = Table("", (), ())


def baseline(facts: Facts) -> Table:
    """The unedited model in every context."""
    head = (
        "use case",
        "compared",
        "gap, SD (interval)",
        "valid answers",
        *[f"mean, {g}" for g in facts.scenario.groups],
    )
    return Table("The unedited model", head, tuple(_baseline_rows(facts)))


def _baseline_rows(facts: Facts) -> Iterable[tuple[str, ...]]:
    for name, context in facts.contexts.items():
        for other in facts.others:
            place = Place(name, "", other)
            gap = facts.gap(place, "base")
            able = answers(facts, place, "base")
            said = gap_words(facts, place, gap) if able else "no statement: it does not do the task"
            means = [_amount(facts.of_group("mean", "value", place, "base", g), context) for g in facts.scenario.groups]
            yield (
                name,
                f"{facts.reference} – {other}",
                said,
                words.percent(facts.answering(place, "base").value),
                *means,
            )


def gap_words(facts: Facts, place: Place, gap: Estimate) -> str:
    """Return a signed gap so that the reader sees whom it is against: `0.84 against black (0.66 to 1.02)`."""
    if not gap.defined:
        return words.UNDEFINED
    favourable = facts.contexts[place.context].favourable
    turned = gap if gap.value >= 0 else gap.model_copy(update={"value": -gap.value, "low": -gap.high, "high": -gap.low})
    whom = words.direction(gap.value, favourable, place.other, facts.reference).removesuffix(" names")
    return f"{words.number(turned.value)} {whom} ({words.interval(turned)})"


def _amount(estimate: Estimate, context: ContextRecord) -> str:
    """A mean answer in the unit of the question; of a choice or a text the share of favourable ones."""
    if not estimate.defined:
        return words.UNDEFINED
    if context.outcome in ("choice", "text"):
        return f"{words.percent(estimate.value)} favourable"
    return f"{words.figure(estimate.value)} {context.unit}".rstrip()


def transfer(cells: Sequence[Judged]) -> Table:
    """Fitted-on × measured-on with intervals and the random control."""
    rows: list[tuple[str, ...]] = []
    for cell in cells:
        facts = cell.facts
        for name in facts.contexts:
            for other in facts.others:
                place = Place(name, "", other)
                change = facts.change(place, "edit")
                before, after = (gap_words(facts, place, facts.gap(place, subject)) for subject in ("base", "edit"))
                rows.append((
                    cell.fitted, name if len(facts.others) == 1 else f"{name} ({other})",
                    before, after,
                    f"{words.estimate(change)}{'' if shown(change) or not change.defined else ' – could be chance'}",
                    words.q(change.q), words.estimate(facts.change(place, "random")),
                ))  # fmt: skip
    head = ("fitted on", "measured on", "gap before, SD", "gap after, SD", "change of its size, SD", "q",
            "change, random edit, SD")  # fmt: skip
    return Table("The maps", head, tuple(rows))


def dose(facts: Facts, goal: str = "") -> Table:
    """The sweep over sizes, by the gap or by the study's goal."""
    noun, units = facts.noun, not facts.cell.dose
    rows = tuple(
        (f"{p.units:,}{' (chosen)' if p.chosen else ''}", *([words.percent(p.share)] if units else []),
         words.estimate(p.goal if goal else p.gap), words.estimate(p.random_goal if goal else p.random_gap),
         words.percent(p.valid), words.percent(p.perplexity_ratio - 1, sign=True))
        for p in facts.cell.sweep
    )  # fmt: skip
    head = (noun, *([f"share of all {noun}"] if units else []), goal or "size of the gap, SD",
            f"same, random {noun if units else 'edit'}", "valid answers", "perplexity")  # fmt: skip
    return Table("Sizes that were tried", head, rows)


def damage(facts: Facts) -> Table:
    """Abilities of the unedited, edited and randomly edited model."""
    rows: list[tuple[str, ...]] = []
    for title, measure, key, share in PANELS:
        for context in facts.measured(measure, key):
            place = Place(context, "", "")
            levels = [facts.level(measure, key, place, subject) for subject in SUBJECTS]
            change = facts.level(measure, key, place, "edit", change=True)
            changed = words.points(change) if share else _level(change, share)
            rows.append((f"{title}: {context}", *[_level(e, share) for e in levels], changed))
    head = ("ability", *SUBJECTS.values(), "change, edited − unedited")
    return Table("What the model can still do", head, tuple(rows))


def measures(facts: Facts) -> Table:
    """What else was measured: every measure that no other part of the page shows, those of your own included."""
    elsewhere = {GAP, "mean", *(name for _, name, _, _ in PANELS)}
    found = {(row.measure, row.key, row.context, row.groups): row for row in facts.cell.rows
             if row.measure not in elsewhere and not row.key.endswith(".abs") and not row.variation}  # fmt: skip
    rows = tuple(
        (f"{measure}{'' if key == 'value' else f', {key}'}", context, " – ".join(groups) or "all",
         *(_level(facts.number(row, subject, against), False)
           for subject, against in (("base", ""), ("edit", ""), ("edit", "base"), ("random", "base"))))
        for (measure, key, context, groups), row in found.items()
    )  # fmt: skip
    head = ("measure", "use case", "groups", "unedited", "edited", "change", "change, random edit")
    return Table("Further measures", head, rows)


def _level(estimate: Estimate, share: bool) -> str:
    """A level or change of any size with its interval."""
    if not estimate.defined:
        return words.UNDEFINED
    if share:
        value = words.percent(estimate.value)
        return f"{value} ({words.interval(estimate, True)})" if not math.isnan(estimate.low) else value
    ends = "" if math.isnan(estimate.low) else f" ({words.figure(estimate.low)} to {words.figure(estimate.high)})"
    return f"{words.figure(estimate.value)}{ends}"


def means(facts: Facts) -> Table:
    """The mean answer of each group before and after, in the unit of the question."""
    rows: list[tuple[str, ...]] = []
    for name, context in facts.contexts.items():
        for variation in context.variations if len(context.variations) > 1 else ("",):
            place = Place(name, variation, "")
            found = [
                facts.of_group("mean", "value", place, s, g) for s in ("base", "edit") for g in facts.scenario.groups
            ]
            if any(e.defined for e in found):
                label = f"{name}, {variation}" if variation else name
                rows.append((label, *[_amount(e, context) for e in found]))
    head = ("question", *[f"{g}, {when}" for when in ("before", "after") for g in facts.scenario.groups])
    return Table("Mean answers", head, tuple(rows))


def units(cell: CellRecord) -> Table:
    """Edited units with the tokens they push towards and away from."""
    scored = any(not math.isnan(u.score) for u in cell.units)
    several = len({u.stack for u in cell.units}) > 1
    rows = tuple(
        (f"{u.stack} {u.home}" if several else u.home, str(u.unit), *([words.figure(u.score)] if scored else []),
         *_sides(u))
        for u in cell.units
    )  # fmt: skip
    head = ("layer", "unit", *(["score"] if scored else []), "words it makes likelier", "words it makes less likely")
    return Table("Edited units and their words", head, rows)


def _sides(unit: UnitRecord) -> tuple[str, str]:
    """The words on either side; of mixed signs neither is the likelier one."""
    towards, away = ("  ".join(words.token(t) for t in few) or "none listed" for few in unit.pushes)
    if unit.mixed and unit.promotes:
        return f"mixed signs: {towards}  or  {away}", "those of the other sign"
    return towards, away
