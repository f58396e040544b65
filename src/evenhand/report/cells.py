"""One edit as the page shows it: its row of the summary, its figures, its tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from evenhand.judge.goal import goal_name
from evenhand.judge.verdict import Finding
from evenhand.report import cell_figures, provenance, tables, units, words
from evenhand.report.figures import Figure, Judged
from evenhand.report.naming import Method
from evenhand.report.sentences import Verdict
from evenhand.report.tables import Table
from evenhand.report.units import Unit

Draw = Callable[[str, Figure | None], str]
"""Keeps a figure for the page under a name, and returns the name; empty when there is none."""


@dataclass(frozen=True)
class Called:
    """What the page calls a cell: its place on the page, its model, its method, what it was fitted on."""

    id: str
    model: str
    method: Method
    fitted: str


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
            "measures": tables.measures(facts),
            "made": provenance.cell(judged.ref, record, called.method)}  # fmt: skip
    ratios = [h.after.value / h.before.value - 1 for h in judged.judgement.harms if h.measure == "perplexity"]
    return Cell(
        called, judged, verdict,
        before=_mean(home, lambda f: f.base_size.value), after=_mean(home, lambda f: f.edit_size.value),
        change=_change(home, lambda f: f.change), random=_change(home, lambda f: f.random),
        perplexity=words.percent(max(ratios), sign=True) if ratios else "not measured",
        answers=_answers(draw, called, judged), tables=made,
        units=units.told(record.units, record.random_change),
        yardstick=units.yardstick(record.random_change, record.random_divergence, record.units),
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


def _mean(findings: Sequence[Finding], of: Callable[[Finding], float]) -> str:
    """The mean over the places an edit was fitted on where a statement can be made."""
    known = [of(f) for f in findings if f.status != "no_answer" and not math.isnan(of(f))]
    return words.number(sum(known) / len(known)) if known else "no statement"


def _change(findings: Sequence[Finding], of: Callable[[Finding], Any]) -> str:
    """The change where there is one place, the mean of the changes (no interval) where there are several."""
    known = [of(f) for f in findings if f.status != "no_answer" and of(f).defined]
    if not known:
        return "no statement"
    if len(known) == 1:
        return f"{words.number(known[0].value, sign=True)} ({words.interval(known[0])})"
    return f"{words.number(sum(e.value for e in known) / len(known), sign=True)} (mean of {len(known)})"
