"""Figures of one cell, as plotly figures in plain data: size of the edit, answers, damage, edited layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from evenhand.core.estimate import Estimate
from evenhand.core.record import Distribution
from evenhand.judge.facts import Facts, Place
from evenhand.report import words
from evenhand.report.figures import Figure, finite, rows_axis, text, whiskers

SUBJECTS = {"base": "unedited", "edit": "edited", "random": "random edit"}
SYMBOLS = {"base": "circle-open", "edit": "circle", "random": "diamond"}


def dose(facts: Facts, goal: str = "") -> Figure:
    """Gap, or goal, and perplexity over the size of the edit, beside random ones of that size; the chosen is marked."""
    points, noun = facts.cell.sweep, facts.noun
    sized = f"{noun} {facts.act}".strip()
    control = f"random {noun}" if facts.act else "random edit"
    ours = [p.goal if goal else p.gap for p in points]
    what = goal or "size of the gap"
    sizes = [f"{p.units:,}" for p in points]
    data = [
        *_band(sizes, [p.random_goal if goal else p.random_gap for p in points], "random", control),
        *_band(sizes, ours, "edit", f"{noun} of the edit" if facts.act else "the edit"),
        {"type": "scatter", "mode": "lines+markers", "name": "perplexity", "showlegend": False, "x": sizes,
         "y": [finite(100 * (p.perplexity_ratio - 1)) for p in points], "yaxis": "y2", "line": {"color": "@edit"},
         "hovertemplate": f"%{{x}} {noun}: perplexity %{{y:+.1f}} %<extra></extra>"},
    ]  # fmt: skip
    chosen = next((i for i, p in enumerate(points) if p.chosen), None)
    mark: list[dict[str, Any]] = []
    if chosen is not None:
        mark = [{"type": "line", "xref": "x", "yref": "paper", "x0": chosen, "x1": chosen, "y0": 0, "y1": 1,
                 "line": {"color": "@text", "width": 1.5, "dash": "dot"}}]  # fmt: skip
    first, best = ours[0], ours[chosen if chosen is not None else -1]
    note = {"xref": "x", "yref": "paper", "x": chosen, "y": 1.0, "text": "chosen", "showarrow": False,
            "yanchor": "bottom", "font": {"color": "@text", "size": 12}}  # fmt: skip
    return {
        "alt": f"{what.capitalize()} over the number of {sized}: {words.number(first.value)} with "
        f"{sizes[0]} {noun}, {words.number(best.value)} with {sizes[chosen if chosen is not None else -1]}.",
        "height": 430,
        "data": data,
        "layout": {
            "shapes": mark, "annotations": [note] if chosen is not None else [],
            "legend": {"orientation": "h", "y": -0.2, "x": 0}, "margin": {"t": 26, "b": 90},
            "xaxis": {"type": "category", "title": {"text": sized}, "anchor": "y2"},
            "yaxis": {"domain": [0.42, 1], "rangemode": "tozero", "title": {"text": goal or "size of the gap (SD)"}},
            "yaxis2": {"domain": [0, 0.32], "title": {"text": "perplexity<br>change, %"}, "zeroline": True},
        },
    }  # fmt: skip


def _band(x: Sequence[str], estimates: Sequence[Estimate], role: str, name: str) -> list[dict[str, Any]]:
    """A line with its interval as a band behind it."""
    known = [(a, e) for a, e in zip(x, estimates, strict=True) if not math.isnan(e.low)]
    ends = [a for a, _ in known] + [a for a, _ in reversed(known)]
    outline = [finite(e.high) for _, e in known] + [finite(e.low) for _, e in reversed(known)]
    hover = [f"{a}, {name}: {words.estimate(e)}" for a, e in zip(x, estimates, strict=True)]
    return [
        {"type": "scatter", "x": ends, "y": outline, "fill": "toself", "fillcolor": f"@{role}/0.16", "mode": "lines",
         "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False},
        {"type": "scatter", "mode": "lines+markers", "name": name,
         "x": list(x), "y": [finite(e.value) for e in estimates],
         "line": {"color": f"@{role}", "dash": "dash" if role == "random" else "solid"},
         "marker": {"symbol": SYMBOLS[role], "size": 8}, "text": hover, "hovertemplate": "%{text}<extra></extra>"},
    ]  # fmt: skip


def answers(facts: Facts, found: Sequence[Distribution]) -> Figure:
    """Answers of each group in one context and variation, before (top) and after (below)."""
    subjects = [s for s in SUBJECTS if any(d.subject == s for d in found)]
    groups = [g for g in facts.scenario.groups if any(d.group == g for d in found)]
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0}, "annotations": [],
                              "margin": {"t": 40, "b": 46}}  # fmt: skip
    tallest = max((max(d.mass) for d in found), default=1.0)
    for row, subject in enumerate(subjects):
        axis = "" if row == 0 else str(row + 1)
        top = 1 - row / len(subjects)
        layout[f"yaxis{axis}"] = {"domain": [top - 1 / len(subjects) + 0.05, top - 0.045], "range": [0, 1.08 * tallest],
                                  "tickformat": ".0%", "nticks": 4}  # fmt: skip
        layout["annotations"].append(
            {"text": f"<b>{SUBJECTS[subject]}</b>", "xref": "paper", "yref": "paper", "x": 1, "y": top - 0.045,
             "xanchor": "right", "yanchor": "bottom", "showarrow": False})  # fmt: skip
        for each in (d for d in found if d.subject == subject):
            data.append(_steps(each, groups.index(each.group), f"y{axis}", legend=row == 0))
    context = facts.contexts[found[0].context]
    decided = context.outcome in ("choice", "text")
    ends = (
        {"tickvals": [0, 1], "zeroline": False, "ticktext": ["another answer", "the favourable answer"]}
        if decided
        else {}
    )
    layout["xaxis"] = {"title": {"text": "" if decided else text(context.unit or "answer", 40)}, **ends,
                       "anchor": f"y{'' if len(subjects) < 2 else len(subjects)}"}  # fmt: skip
    return {
        "alt": f"Share of answers by {words.listing(groups)} names in {found[0].context}, {found[0].variation}, "
        f"{words.listing([SUBJECTS[s] for s in subjects])}.",
        "height": 60 + 170 * len(subjects), "data": data, "layout": layout,
    }  # fmt: skip


def _steps(each: Distribution, group: int, axis: str, legend: bool) -> dict[str, Any]:
    """A histogram drawn as a stepped outline."""
    x = [finite(edge) for edge in (each.edges[0], *each.edges)]
    y = [0.0, *(finite(mass) for mass in each.mass), 0.0]
    return {"type": "scatter", "mode": "lines", "name": f"{each.group} names", "legendgroup": each.group,
            "showlegend": legend, "x": x, "y": y, "yaxis": axis, "fill": "tozeroy", "fillcolor": f"@group{group}/0.22",
            "line": {"color": f"@group{group}", "width": 2, "shape": "hv",
                     "dash": "solid" if group == 0 else "dash"},
            "hovertemplate": f"{text(each.group)} names, around %{{x}}: %{{y:.1%}}<extra></extra>"}  # fmt: skip


PANELS = (
    ("Valid answers", "answer_shares", "valid", True),
    ("Probability on offered answers", "option_mass", "value", True),
    ("Answers in the usual range", "inlier_ratio", "value", True),
    ("Accuracy on questions", "accuracy", "value", True),
    ("Perplexity (lower is better)", "perplexity", "value", False),
    ("Shift of predictions (KL, nats per token)", "kl_to_unedited", "value", False),
)


def damage(facts: Facts) -> Figure | None:
    """What the model can still do: unedited, edited, and under a random edit of the same size. None: not measured."""
    panels = [(title, m, k, s, facts.measured(m, k)) for title, m, k, s in PANELS]
    panels = [panel for panel in panels if panel[4]]
    if not panels:
        return None
    rows = sum(len(p[4]) for p in panels)
    height = 90 + 40 * rows + 62 * len(panels)
    room, top = height - 90, 1.0
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
                              "margin": {"t": 50, "b": 40}, "annotations": []}  # fmt: skip
    for index, (title, measure, key, share, contexts) in enumerate(panels):
        axis = "" if index == 0 else str(index + 1)
        low = top - 40 * len(contexts) / room - 30 / room
        layout[f"yaxis{axis}"] = {**rows_axis(contexts), "domain": [max(0.0, low), max(0.0, top - 30 / room)],
                                  "anchor": f"x{axis}"}  # fmt: skip
        layout[f"xaxis{axis}"] = {"anchor": f"y{axis}", "nticks": 6, "exponentformat": "none",
                                  "tickformat": ".0%" if share else "",
                                  **({"range": [-0.02, 1.02]} if share else {"rangemode": "tozero"})}  # fmt: skip
        layout["annotations"].append({"text": f"<b>{title}</b>", "xref": "paper", "yref": "paper", "x": 0,
                                      "y": top - 6 / room, "xanchor": "left", "yanchor": "top", "showarrow": False,
                                      "xshift": -4})  # fmt: skip
        for place, subject in enumerate(SUBJECTS):
            data.append(_dots(facts, (measure, key, share), contexts, (subject, place, axis, index == 0)))
        top = low - 32 / room
    return {"alt": _damage_alt(facts), "height": height, "data": data, "layout": layout}


def _dots(
    facts: Facts, what: tuple[str, str, bool], contexts: Sequence[str], as_: tuple[str, int, str, bool]
) -> dict[str, Any]:
    """The dots of one subject in one panel."""
    (measure, key, share), (subject, place, axis, legend) = what, as_
    found = [facts.level(measure, key, Place(c, "", ""), subject) for c in contexts]
    say = [
        f"{text(c, 40)}, {SUBJECTS[subject]}: {words.estimate(e, share)}" for c, e in zip(contexts, found, strict=True)
    ]
    return {"type": "scatter", "mode": "markers", "name": SUBJECTS[subject],
            "legendgroup": subject, "showlegend": legend,
            "x": [finite(e.value) for e in found], "y": [i + 0.24 * (place - 1) for i in range(len(contexts))],
            "error_x": whiskers(found), "xaxis": f"x{axis}", "yaxis": f"y{axis}",
            "marker": {"color": f"@{subject}", "symbol": SYMBOLS[subject], "size": 9},
            "text": say, "hovertemplate": "%{text}<extra></extra>"}  # fmt: skip


def _damage_alt(facts: Facts) -> str:
    parts: list[str] = []
    for title, measure, key, share in PANELS:
        for context in facts.measured(measure, key)[:2]:
            before, after = (facts.level(measure, key, Place(context, "", ""), s).value for s in ("base", "edit"))
            show = words.percent if share else words.figure
            parts.append(f"{title.lower()} in {context} {show(before)} before and {show(after)} after")
    return f"Abilities of the unedited, edited and randomly edited model: {'; '.join(parts)}."


def layers(per_layer: dict[str, int], sizes: dict[str, int], noun: str) -> Figure:
    """How many units are switched off in each layer."""
    several = len({name.rsplit(".", 1)[0] for name in per_layer}) > 1
    names = [name if several else name.rsplit(".", 1)[-1] for name in per_layer]
    hover = [
        f"layer {text(name)}: {n} of {sizes.get(key, 0)} {noun}"
        for (key, n), name in zip(per_layer.items(), names, strict=True)
    ]
    said = [f"{n} in layer {name}" for n, name in zip(per_layer.values(), names, strict=True) if n]
    return {
        "alt": f"{noun.capitalize()} switched off by layer: {words.listing(said, 8)}.",
        "height": 260,
        "data": [{"type": "bar", "x": names, "y": list(per_layer.values()), "marker": {"color": "@edit"},
                  "text": [str(n) if n else "" for n in per_layer.values()] if len(names) <= 16 else None,
                  "hovertext": hover, "hovertemplate": "%{hovertext}<extra></extra>"}],
        "layout": {"margin": {"t": 10, "b": 46}, "xaxis": {"type": "category", "title": {"text": "layer"}},
                   "yaxis": {"title": {"text": noun}, "rangemode": "tozero", "tick0": 0,
                             "dtick": max(1, math.ceil(max(per_layer.values()) / 5))}},
    }  # fmt: skip
