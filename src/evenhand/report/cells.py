"""One edit as the page shows it: its row of the summary, its figures, its tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from evenhand.core.estimate import Estimate
from evenhand.judge.goal import Aimed, aimed, goal_name
from evenhand.judge.verdict import Finding
from evenhand.report import cell_figures, provenance, tables, training, units, words
from evenhand.report.figures import Figure, Judged
from evenhand.report.naming import Method
from evenhand.report.sentences import Verdict
from evenhand.report.tables import Table
from evenhand.report.units import Unit

Draw = Callable[[str, Figure | None], str]
"""Keeps a figure for the page under a name, and returns the name; empty when there is none."""


@dataclass(frozen=True)
class Called:
    """What the page calls a cell: its place on the page, its model, its method, what it was fitted on and is for."""

    id: str
    model: str
    method: Method
    fitted: str
    where: str
    unproven: bool = False
    """Whether it was set against controls, and did nothing beyond all of them where it was fitted."""


@dataclass(frozen=True)
class Cell:
    """One edit as the page shows it."""

    called: Called
    judged: Judged
    verdict: Verdict
    before: str
    after: str
    change: str
    random: str
    perplexity: str
    answers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Label and figure of each question."""
    tables: dict[str, Table] = field(default_factory=dict[str, Table])
    units: list[Unit] = field(default_factory=list[Unit])
    """Those of which more than their words is known."""
    yardstick: str = ""
    """What random units do, each alone."""


def cell(draw: Draw, called: Called, judged: Judged, verdict: Verdict) -> Cell:
    """Return one edit, its figures drawn."""
    facts, record, home = judged.facts, judged.facts.cell, judged.judgement.home
    draw(f"{called.id}-dose", cell_figures.dose(facts, goal_name(facts)) if record.sweep else None)
    draw(f"{called.id}-damage", cell_figures.damage(facts))
    by_layer = cell_figures.layers(record.per_layer, record.layer_sizes, facts.noun) if record.per_layer else None
    draw(f"{called.id}-layers", by_layer)
    made = {"dose": tables.dose(facts, goal_name(facts)), "damage": tables.damage(facts),
            "means": tables.means(facts),
            "units": tables.units(record), "matrices": units.crowded(record.matrices),
            "measures": tables.measures(facts), "training": training.went(record.training),
            "made": provenance.cell(judged.ref, record, called.method)}  # fmt: skip
    goal = aimed(facts)
    ratios = [h.after.value / h.before.value - 1 for h in judged.judgement.harms if h.measure == "perplexity"]
    return Cell(
        called, judged, verdict,
        **(_goal(goal) if goal else _gap(home)),
        perplexity=words.percent(max(ratios), sign=True) if ratios else "not measured",
        answers=_answers(draw, called, judged), tables=made,
        units=units.told(record.units, record.random_change),
        yardstick=units.yardstick(record.random_units, record.random_change, record.random_answer,
                                  record.random_divergence),
    )  # fmt: skip


def _answers(draw: Draw, called: Called, judged: Judged) -> list[tuple[str, str]]:
    """A figure for each question, those of the use cases it was fitted on first."""
    record = judged.facts.cell
    asked = dict.fromkeys((d.context, d.variation) for d in record.distributions)
    made: list[tuple[str, str]] = []
    for i, (context, variation) in enumerate(sorted(asked, key=lambda place: place[0] not in record.spec.fitted_on)):
        found = [d for d in record.distributions if (d.context, d.variation) == (context, variation)]
        label = f"{context}: {variation}" if variation and variation != context else context
        made.append((label, draw(f"{called.id}-answers-{i}", cell_figures.answers(judged.facts, found))))
    return made


def _gap(home: Sequence[Finding]) -> dict[str, str]:
    """The size of the gap over the places an edit was fitted on where a statement can be made."""
    known = [f for f in home if f.status != "no_answer"]
    return {"before": _mean([f.base_size for f in known]), "after": _mean([f.edit_size for f in known]),
            "change": _change([f.change for f in known]), "random": _change([f.random for f in known])}  # fmt: skip


def _goal(found: Sequence[Aimed]) -> dict[str, str]:
    """The goal over the places an edit was fitted on."""
    return {"before": _mean([f.base for f in found]), "after": _mean([f.edit for f in found]),
            "change": _change([f.change for f in found]), "random": _change([f.random for f in found])}  # fmt: skip


def _mean(found: Sequence[Estimate]) -> str:
    known = [each.value for each in found if not math.isnan(each.value)]
    return words.number(sum(known) / len(known)) if known else "no statement"


def _change(found: Sequence[Estimate]) -> str:
    """The change where there is one place, the mean of the changes (no interval) where there are several."""
    known = [each for each in found if each.defined]
    if not known:
        return "no statement"
    if len(known) == 1:
        return f"{words.number(known[0].value, sign=True)} ({words.interval(known[0])})"
    return f"{words.number(sum(e.value for e in known) / len(known), sign=True)} (mean of {len(known)})"
