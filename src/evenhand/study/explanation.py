"""What an edit changes and does, part by part: the numbers of `evenhand explain`."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from evenhand import find
from evenhand.core.component import Attribution, Layout, Selection
from evenhand.core.contracts import Locator
from evenhand.core.edit import Edit
from evenhand.core.errors import EvenhandError
from evenhand.core.explained import Explanation, UnitRecord
from evenhand.core.plugin import returned
from evenhand.edits.compose import Compose
from evenhand.edits.scale import Scale
from evenhand.study.evidence import layer_sizes
from evenhand.study.ground import Ground
from evenhand.study.matrices import matrices
from evenhand.study.models import identity
from evenhand.study.units import explained, named
from evenhand.study.whole import whole

RANKED_BY = "contrast"
"""The locator that says which units of a large edit are explained."""


def parts(edit: Edit) -> list[Edit]:
    """Return what a composed edit is made of, in order; any other is one part."""
    if isinstance(edit, Compose):
        return [part for each in edit.edits for part in parts(each)]
    return [edit]


def explain(ground: Ground, edit: Edit, top: int) -> list[Explanation]:
    """Return one explanation per part of the edit, each with at most `top` of its units.

    Each tells what its whole part does; of several parts the first one is of all of them together. A part that is no
    set of scaled units has no more than that; a note says so.
    """
    found = [_part(ground, part, top) for part in parts(edit)]
    if len(found) < 2:
        return found
    note = f"It is made of {len(found)} parts, which are told of one by one."
    together = _described(ground, edit).model_copy(update=whole(ground, edit))
    return [together.model_copy(update={"notes": (note, *ground.notes)}), *found]


def _described(ground: Ground, edit: Edit) -> Explanation:
    return Explanation(
        describes=edit.describe(), model=identity(ground.lm), scenario=ground.bias.name,
        contexts=tuple(context.name for context in ground.bias.contexts), neutral=ground.texts.name,
    )  # fmt: skip


def _part(ground: Ground, edit: Edit, top: int) -> Explanation:
    told = _described(ground, edit)
    if isinstance(edit, Scale) and not len(edit.selection):
        return told.model_copy(update={"notes": ("It changes nothing: no unit is selected.",)})
    told = told.model_copy(update=whole(ground, edit))
    if not isinstance(edit, Scale):
        return told.model_copy(update={"notes": ("It is no set of units or weights that are scaled, so it cannot be "
                                                 "explained unit by unit.", *ground.notes)})  # fmt: skip
    selection = edit.selection
    told = told.model_copy(update={
        "space": selection.layout.space, "size": len(selection), "share": selection.share,
        "per_layer": selection.per_layer(), "layer_sizes": layer_sizes(selection),
    })  # fmt: skip
    if selection.layout.space == "weight":
        return told.model_copy(update={"matrices": tuple(matrices(ground.lm, selection)), "notes": (
            "Single weights have no words and no activation of their own, and there are too many to be switched off "
            "one by one; the table shows in which matrices, rows and columns they crowd.", *ground.notes)})  # fmt: skip
    return _units(ground, edit, told, top)


def _units(ground: Ground, edit: Scale, told: Explanation, top: int) -> Explanation:
    """The part with its units, those that do most to the gaps or right answers first."""
    layout, factor = edit.selection.layout, edit.factor
    notes: list[str] = []
    chosen = _foremost(ground, edit.selection, top, notes)
    found = explained(ground, layout, chosen, factor)
    ranked = sorted(found.units, key=lambda unit: -unit.size)
    return told.model_copy(update={
        "units": tuple(ranked), "first": found.first, "delimiters": found.delimiters,
        "random_units": found.random_units, "random_change": found.random_change,
        "random_answer": found.random_answer, "random_divergence": found.random_divergence,
        "notes": (*notes, *_wordless(ground, layout, chosen), *_brief(ground, ranked), *ground.notes),
    })  # fmt: skip


def _brief(ground: Ground, units: Sequence[UnitRecord]) -> list[str]:
    """What a decoder beside an encoder has read before it answers."""
    if ground.lm.kind != "encoder-decoder" or not any(unit.stack == "decoder" for unit in units):
        return []
    return ["Units of the decoder are read at its start token only, from which the answer begins."]


def _foremost(ground: Ground, selection: Selection, top: int, notes: list[str]) -> list[int]:
    """The addresses of the `top` selected units that to first order do most to the gaps; all, where they are fewer."""
    units = [int(unit) for unit in selection.units]
    if len(units) <= top:
        return units
    try:
        locator: Locator = find.build("locate", RANKED_BY, {"space": selection.layout.space})
        found = returned(locator.score(ground.lm, ground.bias), Attribution, locator, "score")
        scores = found.scores[selection.units].abs()
    except EvenhandError as error:
        notes.append(f"{top} of its {len(units)} units are shown, by their place in the model ({error}).")
        return units[:top]
    notes.append(f"{top} of its {len(units)} units are shown: those that to first order do most to the gaps.")
    best = torch.argsort(scores.nan_to_num(nan=-1.0), descending=True, stable=True)[:top]
    return [units[int(i)] for i in best]


def _wordless(ground: Ground, layout: Layout, units: Sequence[int]) -> list[str]:
    """Why there are no words, where there are none."""
    if not units or any(record.promotes for record in named(ground.lm, layout, list(units[:8]))):
        return []
    why = {
        "head": "a head writes many directions, not one",
        "row": "rows of maps that do not write into the residual stream reach the next word only through others",
    }.get(layout.space, "there is no straight way from them to the next word in this model (an encoder, a masked model "
                        "or a writer whose weights cannot be read)")  # fmt: skip
    return [f"No words are listed: {why}."]
