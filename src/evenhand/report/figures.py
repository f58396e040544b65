"""Figures over a whole run, as plotly figures in plain data: gaps before any edit, and the transfer heat map.

Colours are roles such as `@edit`; the page fills in what suits a light, dark or printed page.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from evenhand.core.estimate import Estimate
from evenhand.core.record import CellRef, ScenarioRecord
from evenhand.judge.facts import NOTHING, Facts, Place, shown
from evenhand.judge.verdict import Judgement, answers
from evenhand.report import words

Figure = dict[str, Any]
View = Literal["change", "remaining"]


@dataclass(frozen=True)
class Judged:
    """A cell with its facts and its verdict."""

    ref: CellRef
    facts: Facts
    judgement: Judgement

    @property
    def fitted(self) -> str:
        """What it was fitted on, in words."""
        return fitted(self.ref, self.facts.scenario)


@cache
def text(label: str, width: int = 18) -> str:
    """Return a label escaped for plotly, broken into at most three lines of `width` characters."""
    lines = textwrap.wrap(label, width, max_lines=3, placeholder=" …") or [""]
    return "<br>".join(html.escape(line, quote=False) for line in lines)


def finite(value: float) -> float | None:
    """Return a number that JSON can hold: undefined becomes null, which plotly leaves out."""
    return None if math.isnan(value) or math.isinf(value) else float(f"{value:.4g}")


def whiskers(estimates: Sequence[Estimate], signs: Sequence[float] = ()) -> dict[str, Any]:
    """Return the error bars of estimates; with a sign −1 their ends change places."""
    signs = signs or [1.0] * len(estimates)
    up = [e.high - e.value if s > 0 else e.value - e.low for e, s in zip(estimates, signs, strict=True)]
    down = [e.value - e.low if s > 0 else e.high - e.value for e, s in zip(estimates, signs, strict=True)]
    return {"type": "data", "symmetric": False, "array": [finite(v) for v in up],
            "arrayminus": [finite(v) for v in down], "thickness": 1.5, "width": 3}  # fmt: skip


def fitted(ref: CellRef, scenario: ScenarioRecord) -> str:
    """Return what a cell was fitted on, in words, and where that is not the scenario, also what it is for."""
    return f"{ref.fitted_to}, for {where(ref, scenario)}" if ref.fitted_to else where(ref, scenario)


def where(ref: CellRef, scenario: ScenarioRecord) -> str:
    """Return the part of the scenario that a cell is for, in words; by what was left out, where that is one thing."""
    contexts = [context.name for context in scenario.contexts if context.name not in ref.fitted_on]
    if ref.protocol == "cross-context" and len(contexts) == 1:
        return f"all but {contexts[0]}"
    known = next((c.variations for c in scenario.contexts if c.name in ref.fitted_on), ())
    variations = [variation for variation in known if variation not in ref.variations]
    if ref.protocol == "leave-one-out" and len(variations) == 1:
        return f"{ref.fitted_on[0]} without {variations[0]}"
    name = " + ".join(ref.fitted_on)
    return f"{name} ({', '.join(ref.variations)})" if ref.variations else name


def baseline(facts: Facts) -> Figure:
    """The gap of the unedited model in every context, with intervals; positive: against the other group."""
    names = list(facts.contexts)
    data: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    for index, other in enumerate(facts.others):
        places = [Place(name, "", other) for name in names]
        able = [p for p in places if answers(facts, p, "base") and facts.gap(p, "base").defined]
        found = [facts.gap(p, "base") for p in able]
        signs = [words.against(1.0, facts.contexts[p.context].favourable) for p in able]
        shift = 0.14 * (index - (len(facts.others) - 1) / 2)
        data.append({
            "type": "scatter", "mode": "markers", "name": f"gap against {other} names",
            "x": [finite(e.value * s) for e, s in zip(found, signs, strict=True)],
            "y": [names.index(p.context) + shift for p in able], "error_x": whiskers(found, signs),
            "marker": {"size": 10, "color": f"@group{index + 1}"},
            "text": [f"{html.escape(p.context)}: {words.estimate(e)}" for p, e in zip(able, found, strict=True)],
            "hovertemplate": "%{text}<extra></extra>",
        })  # fmt: skip
        if not index:
            notes = [_no_statement(facts, p, names.index(p.context)) for p in places if p not in able]
    said = [
        f"{p.context} {words.number(facts.gap(p, 'base').value)}"
        for p in (Place(n, "", facts.others[0]) for n in names)
    ]
    return {
        "alt": f"Gap of the unedited model in each use case, in standard deviations: {', '.join(said)}.",
        "height": 106 + 44 * len(names),
        "data": data,
        "layout": {
            "annotations": notes, "showlegend": len(facts.others) > 1, "margin": {"t": 10, "b": 62},
            "xaxis": {"title": {"text": _sides(facts)}, "zeroline": True, "zerolinewidth": 2},
            "yaxis": rows_axis(names),
        },
    }  # fmt: skip


def _sides(facts: Facts) -> str:
    """What an axis of gaps shows, and what its two sides mean."""
    whom = f"{facts.others[0]} names" if len(facts.others) == 1 else "the compared names"
    return f"← better for {text(whom, 40)} · worse →<br>gap in standard deviations"


def rows_axis(names: Sequence[str]) -> dict[str, Any]:
    """A vertical axis with one named row per entry, the first on top."""
    return {"tickvals": list(range(len(names))), "ticktext": [text(n) for n in names], "automargin": True,
            "range": [len(names) - 0.5, -0.5], "zeroline": False, "showgrid": False}  # fmt: skip


def _no_statement(facts: Facts, place: Place, row: int) -> dict[str, Any]:
    able = facts.answering(place, "base").value
    why = "undefined" if answers(facts, place, "base") else f"{words.only(able)} valid answers: no statement"
    return {"xref": "paper", "x": 0.01, "xanchor": "left", "y": row, "text": why, "showarrow": False,
            "bgcolor": "@panel", "font": {"color": "@muted", "size": 12}}  # fmt: skip


def transfer(cells: Sequence[Judged], view: View, subject: Literal["edit", "random"]) -> Figure:
    """Fitted-on × measured-on: the change in the size of the gap, or the gap that remains."""
    facts = cells[0].facts
    columns = [(c, o) for c in facts.contexts for o in facts.others]
    labels = [f"{c} · {o}" if len(facts.others) > 1 else c for c, o in columns]
    grid = [[_square(cell, c, o, view, subject) for c, o in columns] for cell in cells]
    both = [
        s.z
        for cell in cells
        for c, o in columns
        for who in ("edit", "random")
        for s in [_square(cell, c, o, view, who)]
    ]
    most = max([0.5, *(abs(v) for v in both if v is not None)])
    what = "Change in the size of the gap" if view == "change" else "Gap that remains"
    who = "the edit" if subject == "edit" else "the random edit of the same size"
    frames = [(i, j) for i, cell in enumerate(cells) for j, (c, _) in enumerate(columns)
              if c in {finding.place.context for finding in cell.judgement.home}]  # fmt: skip
    rows = [cell.fitted for cell in cells]
    alt = f"{what} under {who}; rows: fitted on, columns: measured on. {loudest(grid, rows, labels)}"
    return heat_map(Map(labels, rows, grid, most, frames, alt))


@dataclass(frozen=True)
class Square:
    """One square of a heat map."""

    z: float | None
    """Its number; None where there is none, and `text` says why."""
    text: str
    hover: str


@dataclass(frozen=True)
class Map:
    """What a heat map shows: a square for each row and column."""

    columns: Sequence[str]
    rows: Sequence[str]
    squares: Sequence[Sequence[Square]]
    most: float
    """The value, of either sign, that has the fullest colour."""
    frames: Sequence[tuple[int, int]]
    """Row and column of the squares that have a frame."""
    alt: str


def heat_map(shown_: Map) -> Figure:
    """Return a heat map with a number in each square; its colours tell numbers below 0 from those above."""
    labels, grid = shown_.columns, shown_.squares
    head = 22 + 16 * max(text(label, 11).count("<br>") + 1 for label in labels)
    return {
        "alt": shown_.alt,
        "height": 44 + head + 48 * len(grid),
        "minWidth": [112 + max(58, 7 * _widest(labels)) * len(labels), _narrow(labels, shown_.rows)],
        "data": [{
            "type": "heatmap", "z": [[square.z for square in line] for line in grid],
            "x": list(range(len(labels))), "y": list(range(len(grid))),
            "zmin": -shown_.most, "zmax": shown_.most, "xgap": 2, "ygap": 2, "showscale": False,
            "colorscale": [[0, "@fell"], [0.5, "@none"], [1, "@rose"]],
            "text": [[square.text if square.z is not None else "" for square in line] for line in grid],
            "texttemplate": "%{text}",
            "textfont": {"size": 11},
            "customdata": [[square.hover for square in line] for line in grid],
            "hovertemplate": "%{customdata}<extra></extra>", "hoverongaps": True,
        }],
        "layout": {
            "margin": {"t": head, "b": 10, "r": 6}, "annotations": _blanks(grid),
            "shapes": [_frame(i, j) for i, j in shown_.frames],
            "xaxis": {"side": "top", "tickvals": list(range(len(labels))), "ticktext": [text(w, 11) for w in labels],
                      "tickangle": 0, "showgrid": False, "zeroline": False, "fixedrange": True,
                      "automargin": True},
            "yaxis": rows_axis(shown_.rows),
        },
    }  # fmt: skip


def _widest(labels: Sequence[str]) -> int:
    """Characters of the longest line of the labels of columns."""
    return max(len(line) for label in labels for line in text(label, 11).split("<br>"))


def _narrow(labels: Sequence[str], rows: Sequence[str]) -> int:
    """The width of a map on a phone: as small as its labels and numbers allow."""
    column = _widest(labels)
    row = max(len(line) for name in rows for line in text(name).split("<br>"))
    return 14 + 6 * row + max(43, 7 * column) * len(labels)


def _square(cell: Judged, context: str, other: str, view: View, subject: str) -> Square:
    """One square of the heat map."""
    facts, place = cell.facts, Place(context, "", other)
    head = f"fitted on {text(cell.fitted, 40)}<br>measured on {text(context, 40)}"
    if not answers(facts, place, "base"):
        return Square(None, "no answer", f"{head}<br>the model does not do the task here: no statement")
    if subject == "edit" and not answers(facts, place, "edit"):
        return Square(None, "broken", f"{head}<br>the edit stopped the model from doing the task here")
    if facts.unedited and (view == "change" or subject == "random"):
        return Square(None, "no edit", f"{head}<br>nothing was changed")
    change, signed = facts.change(place, subject), facts.gap(place, subject)
    before, after = facts.size(place, "base"), facts.size(place, subject)
    sign = words.against(1.0, facts.contexts[context].favourable)
    value = change.value if view == "change" else sign * signed.value
    if math.isnan(value):
        return Square(None, words.UNDEFINED, f"{head}<br>undefined")
    q = "" if math.isnan(change.q) else f", q {words.q(change.q)}"
    beyond = facts.beyond(place) if subject == "edit" else NOTHING
    hover = (
        f"{head}<br>size of the gap {words.number(before.value)} → {words.number(after.value)} SD"
        f"<br>change {words.number(change.value, sign=True)} ({words.interval(change)}){q}"
        + (f"<br>beyond the random edit {words.estimate(beyond)}" if beyond.defined else "")
        + f"<br>gap now {words.direction(signed.value, facts.contexts[context].favourable, other, facts.reference)}"
        f", {words.number(abs(signed.value))}"
    )
    certain = shown(change if view == "change" else signed)
    number = words.number(value, sign=view == "change")
    return Square(finite(value), f"<b>{number}</b>" if certain else f"({number})", hover)


def _blanks(grid: Sequence[Sequence[Square]]) -> list[dict[str, Any]]:
    """Words in the squares that have no number."""
    return [
        {"x": j, "y": i, "text": square.text, "showarrow": False, "font": {"size": 10, "color": "@muted"}}
        for i, line in enumerate(grid)
        for j, square in enumerate(line)
        if square.z is None
    ]


def _frame(row: int, column: int) -> dict[str, Any]:
    """A frame around the square that the verdict on an edit is about."""
    return {"type": "rect", "x0": column - 0.48, "x1": column + 0.48, "y0": row - 0.48, "y1": row + 0.48,
            "line": {"color": "@text", "width": 2}}  # fmt: skip


def loudest(grid: Sequence[Sequence[Square]], rows: Sequence[str], labels: Sequence[str]) -> str:
    """The largest number of a heat map, for readers who do not see it."""
    known = [(abs(s.z), i, j) for i, line in enumerate(grid) for j, s in enumerate(line) if s.z is not None]
    if not known:
        return "No square has a number."
    value, i, j = max(known)
    return f"Largest: {words.number(grid[i][j].z or value)} fitted on {rows[i]}, measured on {labels[j]}."
