"""The edited units of a cell as its record tells of them, within bounds that keep a study quick."""

from __future__ import annotations

from typing import Any

from evenhand.core.edit import Edit
from evenhand.core.errors import EvenhandError
from evenhand.core.record import CellSpec
from evenhand.edits.scale import Scale
from evenhand.study.bench import Bench
from evenhand.study.ground import Depth, Ground
from evenhand.study.matrices import matrices
from evenhand.study.readings import labelled
from evenhand.study.units import addresses, explained, named

NAMES, PROMPTS, TEXTS = 8, 200, 12
"""Of each group and variation, of all, of the neutral texts: what single units are tried on in a study."""


def unit_fields(bench: Bench, spec: CellSpec, edit: Edit | None, order: dict[int, int]) -> dict[str, Any]:
    """Return the fields of a cell's record that tell of single units, and `notes` for it.

    Explained on names of the report part, in the contexts fitted on: the first `units_explained` by `order` (address →
    rank; a method's candidates are nested, so it is the place of the smallest that holds a unit). The other
    ones up to `units_shown` have only their words. Scores are the method's own business and stay undefined.
    """
    if not isinstance(edit, Scale) or not len(edit.selection):
        return {"units": (), "notes": ()}
    selection, layout = edit.selection, edit.selection.layout
    if layout.space == "weight":
        return {"units": (), "matrices": tuple(matrices(bench.lm, selection)), "notes": ()}
    listed = addresses(selection, order, bench.config.units_shown)
    few = listed[: bench.config.units_explained]
    ground = _ground(bench, spec)
    try:
        found = explained(ground, layout, few, edit.factor)
    except EvenhandError as error:  # A cell must not be lost to what is only said beside its numbers.
        words = tuple(named(bench.lm, layout, listed))
        return {"units": words, "notes": (f"What single units do is not told: {error}.", *_left(edit, len(listed)))}
    return {
        "units": (*found.units, *named(bench.lm, layout, listed[len(few) :])),
        "random_units": found.random_units, "random_change": found.random_change,
        "random_answer": found.random_answer, "random_divergence": found.random_divergence,
        "notes": (*_left(edit, len(listed)), *ground.notes),
    }  # fmt: skip


def _left(edit: Scale, shown: int) -> list[str]:
    total = len(edit.selection)
    return (
        [f"{shown} of the {total} edited units are listed; the edit file holds all of them."] if shown < total else []
    )


def _ground(bench: Bench, spec: CellSpec) -> Ground:
    """Names of the report part, in the contexts fitted on, and running texts of it."""
    bias = bench.part(bench.scenario, "report", spec.seed).only(spec.fitted_on)
    utility = bench.part(bench.utility, "report", spec.seed)
    texts = utility.only({context.name for context in utility.contexts if context.outcome == "sentence"})
    depth = Depth(NAMES, PROMPTS, TEXTS, bootstrap=bench.bootstrap(spec))
    return Ground(bench.lm, bias, texts, depth, labelled(bench.progress, "edited units"))
