"""What a mean of a reading does not show: its sentences one by one, and the probabilities behind the log-odds."""

from __future__ import annotations

from evenhand.core.represented import Represented, Separation
from evenhand.report import words
from evenhand.report.tables import EMPTY, Table


def source(layer: int) -> str:
    """Return what a layer is called in a sentence."""
    return "the embedding" if layer < 0 else f"layer {layer}"


def layer_name(layer: int) -> str:
    """Return what a layer is called."""
    return "embedding" if layer < 0 else str(layer)


def _by_text(found: Represented, pair: Separation) -> dict[str, list[tuple[str, float]]]:
    """Of every series each sentence with its shift at a pair of layers."""
    i, j = found.layers.index(pair.layer), found.targets.index(pair.target)
    told: dict[str, list[tuple[str, float]]] = {}
    for each in found.by_text:
        told.setdefault(each.series, []).append((each.text, each.shifts[i][j]))
    return told


def differing(found: Represented, pair: Separation) -> str:
    """Say in which series sentences move the answer to different sides, which a mean does not show."""
    first, second = found.concepts
    mixed: list[str] = []
    for series, told in _by_text(found, pair).items():
        up, down = (sum(sign * value > 0 for _, value in told) for sign in (1, -1))
        if up and down:
            mixed.append(f"{series}: {up} towards {first}, {down} towards {second}")
    if not mixed:
        return ""
    return f"Sentences of one kind do not all move it to the same side ({'; '.join(mixed)}); a table lists them."


def sentences(found: Represented, pair: Separation) -> Table:
    """How far each sentence moves the answer, at a pair of layers, the furthest first."""
    known = found.known
    rows = tuple(
        (series + (f" ({known[series]})" if known.get(series, "") not in series else ""), text,
         words.number(value, sign=True))
        for series, told in _by_text(found, pair).items()
        for text, value in sorted(told, key=lambda each: -each[1])
    )  # fmt: skip
    caption = f"Sentences one by one: shift towards {found.concepts[0]} in nats, {source(pair.layer)} into "
    head = ("series", "sentence", "mean shift of its words")
    return Table(f"{caption}{source(pair.target)}", head, rows) if rows else EMPTY


def rises(found: Represented, target: int) -> Table:
    """How far the probability of either concept rises or falls, at one target layer."""
    first, second = found.concepts
    rows: list[tuple[str, ...]] = []
    for layer in found.layers:
        both = [(name, found.row(name, layer, target).rises) for name in found.series]
        rows += [(layer_name(layer), name, *(words.points(each) for each in rise)) for name, rise in both if rise]
    caption = f"Change of the probabilities themselves, put into {source(target)}"
    return Table(caption, ("source layer", "series", f"P({first})", f"P({second})"), tuple(rows)) if rows else EMPTY
