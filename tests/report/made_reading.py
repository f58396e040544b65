"""A reading that was made up: its numbers mean nothing."""

from __future__ import annotations

from evenhand.core.estimate import Estimate
from evenhand.core.represented import (
    RANDOM,
    AskedQuestion,
    FreeRow,
    FreeText,
    PatchedRow,
    ProbeRow,
    ReadPrompt,
    Represented,
    Separation,
    TextRow,
)


def _estimate(value: float) -> Estimate:
    return Estimate(value=value, low=value - 0.1, high=value + 0.1, n=9, n_clusters=9, p=0.001, q=0.002)


def reading() -> Represented:
    """Twenty layers read, three written to; a form and a text that must be escaped."""
    series, layers, targets = ("asked", "known up", "known down", RANDOM), tuple(range(20)), (0, 4, 8)
    pairs = [(layer, target) for layer in layers for target in targets]
    return Represented(
        name="made", created="2026-01-01", seconds=1.0, versions={}, model={"source": "models/made"},
        reading={"version": "1"}, concepts=("up", "down"), layers=layers, targets=targets, series=series,
        prompts=(ReadPrompt(series="asked", text="</script><b>", word="b", matched=" b"),),
        questions=(AskedQuestion(text="<it>", placeholder="it", log_odds=0.0, mass=0.1, counted=(("u",), ("d",))),),
        patched=tuple(PatchedRow(series=name, layer=layer, target=target, shift=_estimate(i - 1 + layer / 20),
                                 share=0.5, mass=0.1, rises=(_estimate(0.2), _estimate(-0.3)))
                      for i, name in enumerate(series) for layer, target in pairs),
        separations=tuple(Separation(layer=layer, target=target, apart=_estimate(layer / 10), place=_estimate(0.2))
                          for layer, target in pairs),
        by_text=tuple(TextRow(series=name, text=f"{name} {sign} {{word}}", shifts=((sign * 0.5,) * 3,) * 20)
                      for name, signs in (("asked", (1, -1, -1)), ("known up", (1, 1))) for sign in signs),
        free_question="x", free_target=0, plain="y", free=(FreeRow(series="asked", layer=3, counts={"up": 1}),),
        texts=(FreeText(series="asked", prompt=0, layer=3, text="<script>", kind="up"),),
        probe=tuple(ProbeRow(layer=layer, accuracy=_estimate(0.8), control=_estimate(0.5), selectivity=_estimate(0.3),
                             shares={"asked": _estimate(0.4)}) for layer in layers),
    )  # fmt: skip
