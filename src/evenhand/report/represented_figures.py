"""Figures of a reading, as plotly figures in plain data: shifts over layers, maps of layer pairs, texts, probes."""

from __future__ import annotations

import html
import math
from collections.abc import Collection, Sequence
from typing import Any

from evenhand.core.estimate import Estimate
from evenhand.core.represented import EMPTY, OTHER, RANDOM, Represented
from evenhand.report import words
from evenhand.report.figures import Figure, finite, text

_LEGEND = {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0}
_NUMBERED = 160
"""A map with more squares than this has no numbers in them."""


def by_layer(found: Represented, target: int) -> Figure:
    """Shift of every series over source layers, with its interval as a band."""
    data: list[dict[str, Any]] = []
    for i, name in enumerate(found.series):
        shifts = [found.row(name, layer, target).shift for layer in found.layers]
        data += _line(found.layers, shifts, name, _role(found, i))
    first, second = found.concepts
    asked = [found.row(found.series[0], layer, target).shift.value for layer in found.layers]
    return {
        "alt": f"Shift of the log-odds over source layers, put into layer {_tick(target)}; {found.series[0]}: from "
               f"{words.number(asked[0])} to {words.number(asked[-1])} nats.",
        "height": 430, "data": data,
        "layout": _layout("source layer", f"← {text(second, 24)} · {text(first, 24)} →<br>shift, nats"),
    }  # fmt: skip


def _role(found: Represented, i: int) -> str:
    """The first series is drawn strongest, the random vectors dashed."""
    return "muted" if found.series[i] == RANDOM else f"group{i % 6}"


def _line(layers: Sequence[int], estimates: Sequence[Estimate], name: str, role: str) -> list[dict[str, Any]]:
    x = [_tick(layer) for layer in layers]
    known = [(a, e) for a, e in zip(x, estimates, strict=True) if not math.isnan(e.low)]
    ends = [a for a, _ in known] + [a for a, _ in reversed(known)]
    outline = [finite(e.high) for _, e in known] + [finite(e.low) for _, e in reversed(known)]
    hover = [f"layer {a}, {html.escape(name)}: {words.estimate(e)}" for a, e in zip(x, estimates, strict=True)]
    return [
        {"type": "scatter", "x": ends, "y": outline, "fill": "toself", "fillcolor": f"@{role}/0.14", "mode": "lines",
         "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False},
        {"type": "scatter", "mode": "lines+markers", "name": text(name, 30), "x": x,
         "y": [finite(e.value) for e in estimates],
         "line": {"color": f"@{role}", "dash": "dash" if role == "muted" else "solid"}, "marker": {"size": 7},
         "text": hover, "hovertemplate": "%{text}<extra></extra>"},
    ]  # fmt: skip


def _tick(layer: int) -> str:
    return "emb." if layer < 0 else str(layer)


def _layout(x: str, y: str, **more: Any) -> dict[str, Any]:
    return {"legend": _LEGEND, "margin": {"t": 48, "b": 56},
            "xaxis": {"type": "category", "title": {"text": x}, "nticks": 16},
            "yaxis": {"title": {"text": y}, "zeroline": True, **more}}  # fmt: skip


def heat(found: Represented, series: str) -> Figure:
    """Mean shift of one series for every source and target layer, in brackets where the known series are not apart."""
    squares = [[found.row(series, layer, target).shift for target in found.targets] for layer in found.layers]
    return _map(found, squares, f"shift of {series}", {(s.layer, s.target) for s in found.separations if not s.sure})


def apart(found: Represented) -> Figure:
    """How far apart the known series are for every source and target layer; bold where that is sure."""
    known = {(each.layer, each.target): each.apart for each in found.separations}
    squares = [[known[layer, target] for target in found.targets] for layer in found.layers]
    return _map(found, squares, f"known {found.concepts[0]} − known {found.concepts[1]}")


def _map(
    found: Represented, squares: list[list[Estimate]], what: str, untold: Collection[tuple[int, int]] = ()
) -> Figure:
    """A map on the scale of all maps; pairs of layers that are `untold` say nothing."""
    every = [row.shift.value for row in found.patched] + [each.apart.value for each in found.separations]
    most = max([0.1, *(abs(value) for value in every if math.isfinite(value))])
    numbered = len(found.layers) * len(found.targets) <= _NUMBERED
    value, _, i, j = max((abs(e.value) if e.defined else -1.0, 0, i, j)
                         for i, line in enumerate(squares) for j, e in enumerate(line))  # fmt: skip
    return {
        "alt": f"{what} by source layer (rows) and target layer (columns), in nats; largest size {words.number(value)} "
               f"from layer {_tick(found.layers[i])} into layer {_tick(found.targets[j])}.",
        "height": 70 + (26 if numbered else 14) * len(found.layers),
        "minWidth": [0, 60 + (44 if numbered else 16) * len(found.targets)],
        "data": [{
            "type": "heatmap", "z": [[finite(e.value) for e in line] for line in squares],
            "x": [_tick(t) for t in found.targets], "y": [_tick(layer) for layer in found.layers],
            "zmin": -most, "zmax": most, "xgap": 2, "ygap": 2, "showscale": False,
            "colorscale": [[0, "@fell"], [0.5, "@none"], [1, "@rose"]],
            "text": [[_number(e, (layer, target) in untold) if numbered else ""
                      for e, target in zip(line, found.targets, strict=True)]
                     for line, layer in zip(squares, found.layers, strict=True)],
            "texttemplate": "%{text}", "textfont": {"size": 11},
            "customdata": [[_hover(e, what, (layer, target))
                            for e, target in zip(line, found.targets, strict=True)]
                           for line, layer in zip(squares, found.layers, strict=True)],
            "hovertemplate": "%{customdata}<extra></extra>", "hoverongaps": True,
        }],
        "layout": {
            "margin": {"t": 10, "b": 50, "r": 6},
            "xaxis": {"type": "category", "title": {"text": "target layer"}, "showgrid": False, "zeroline": False},
            "yaxis": {"type": "category", "title": {"text": "source layer"}, "showgrid": False, "zeroline": False,
                      "nticks": 20},
        },
    }  # fmt: skip


def _number(estimate: Estimate, untold: bool) -> str:
    """Bold where it is not chance, by q where there is one, else by the interval; never where nothing is told."""
    sure = not untold and (estimate.excludes() if math.isnan(estimate.q) else estimate.q < 0.05)
    number = words.number(estimate.value)
    return f"<b>{number}</b>" if sure else f"({number})"


def _hover(estimate: Estimate, what: str, pair: tuple[int, int]) -> str:
    q = "" if math.isnan(estimate.q) else f", q {words.q(estimate.q)}"
    return f"{html.escape(what)}<br>layer {_tick(pair[0])} into {_tick(pair[1])}: {words.estimate(estimate)} nats{q}"


def free(found: Represented, series: str) -> Figure:
    """What the free texts of one series speak of, as stacked shares over source layers."""
    rows = {row.layer: row.counts for row in found.free if row.series == series}
    roles = {found.concepts[0]: "@rose", found.concepts[1]: "@fell", OTHER: "@muted/0.7", EMPTY: "@muted/0.25"}
    totals = {layer: max(1, sum(counts.values())) for layer, counts in rows.items()}
    data = [
        {"type": "bar", "name": text(kind, 30), "x": [_tick(layer) for layer in rows],
         "y": [finite(counts.get(kind, 0) / totals[layer]) for layer, counts in rows.items()],
         "marker": {"color": role}, "hovertemplate": f"layer %{{x}}: {html.escape(kind)} %{{y:.0%}}<extra></extra>"}
        for kind, role in roles.items()
    ]  # fmt: skip
    layout = _layout("source layer", "share of texts", tickformat=".0%", range=[0, 1])
    layout["xaxis"]["showgrid"] = False
    return {"alt": f"What free texts with {series} states speak of, over source layers.", "height": 330, "data": data,
            "layout": {**layout, "barmode": "stack", "bargap": 0.25}}  # fmt: skip


def probe(found: Represented) -> Figure:
    """Accuracy of the probes and of their control over layers."""
    layers = [row.layer for row in found.probe]
    data = [*_line(layers, [row.accuracy for row in found.probe], "new words and sentences", "group0"),
            *_line(layers, [row.control for row in found.probe], "shuffled labels", "muted")]  # fmt: skip
    return {"alt": "Share of held-out prompts that a linear probe tells right, over layers, beside shuffled labels.",
            "height": 350, "data": data,
            "layout": _layout("layer", "told right", tickformat=".0%", range=[0, 1.03])}  # fmt: skip


def probe_shares(found: Represented) -> Figure:
    """Probability of the first concept that the probes give the other series."""
    layers = [row.layer for row in found.probe]
    data: list[dict[str, Any]] = []
    for i, name in enumerate(found.series):
        if name in found.probe[0].shares:
            data += _line(layers, [row.shares[name] for row in found.probe], name, _role(found, i))
    title = f"probability of {text(found.concepts[0], 24)}"
    return {"alt": f"Probability of {found.concepts[0]} under the probes, over layers.", "height": 350, "data": data,
            "layout": _layout("layer", title, tickformat=".0%", range=[0, 1.03])}  # fmt: skip
