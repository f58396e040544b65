"""Read a scenario under many edits: those that only scale units share batches, any other is applied around its own.

Single weights are no units of activations, so an edit of them is applied around its own reading too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence

from evenhand.core.component import Selection
from evenhand.core.edit import Edit
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.progress import Progress
from evenhand.core.readout import Readout
from evenhand.core.scenario import Scenario
from evenhand.core.select import in_layers
from evenhand.edits.scale import Scale
from evenhand.lm.batches.variants import Variant
from evenhand.lm.model import LM
from evenhand.lm.read import Reading, read, read_variants
from evenhand.lm.scoring.texts import compare_texts
from evenhand.study.config import ReadingConfig


def read_edits(
    lm: LM, scenario: Scenario, edits: Sequence[Edit], reading: Reading, progress: Progress
) -> list[list[Readout]]:
    """Return the readouts under each edit, in order, one per kind of outcome; the model is left as it was."""
    found: dict[int, list[Readout]] = {}
    scales = {i: edit for i, edit in enumerate(edits) if isinstance(edit, Scale) and _as_mask(edit)}
    if scales:
        variants = [Variant(edit.selection, edit.factor) for edit in scales.values()]
        found |= dict(zip(scales, read_variants(lm, scenario, variants, reading, progress), strict=True))
    for i, edit in enumerate(edits):
        if i not in scales:
            with edit.applied(lm):
                said = read(lm, scenario, reading, progress)
            found[i] = [_beside(lm, readout, edit, progress) for readout in said]
    return [found[i] for i in range(len(edits))]


def _as_mask(edit: Scale) -> bool:
    return edit.selection.layout.space != "weight"


def _beside(lm: LM, readout: Readout, edit: Edit, progress: Progress) -> Readout:
    """Of whole texts also how far the edit is from the model as it stands, which a reading under masks tells itself."""
    if readout.kind != "sentence" or lm.edits:
        return readout
    texts = [case.prompt for case in readout.cases]
    kl, agree = compare_texts(lm, texts, lambda: edit.applied(lm), labelled(progress, "beside the unedited model"))
    return dataclasses.replace(readout, arrays={**readout.arrays, "kl": kl, "agree": agree})


def narrow(readouts: Sequence[Readout], scenario: Scenario) -> list[Readout]:
    """Return the readouts of only the cases that are in `scenario`; kinds left empty are dropped."""
    wanted = {case.id for case in scenario.cases}
    kept = [readout.where(lambda case: case.id in wanted) for readout in readouts]
    return [readout for readout in kept if len(readout)]


def reading_of(config: ReadingConfig, seed: int) -> Reading:
    """Return how numbers are read, with this seed for sampled answers."""
    return Reading(**config.model_dump(), seed=seed)


def selection_of(edit: Edit) -> Selection | None:
    """Return the units an edit scales; None when it does something else."""
    return edit.selection if isinstance(edit, Scale) else None


def only_layers(selection: Selection, layers: Collection[int]) -> Selection:
    """Keep the units in these layers (from 0, through all stacks); raises for a layer the model does not have."""
    last = max(selection.layout.site_layers())
    if absent := [layer for layer in layers if not 0 <= layer <= last]:
        raise UsageError(f"layers: there is no layer {absent[0]}; the model's layers are 0 to {last}")
    return in_layers(selection, layers)


def within_layers(edit: Edit, layers: Collection[int], lm: LM) -> Scale:
    """Return the edit with only its units in these layers; raises CannotRun when it does not scale units."""
    if not isinstance(edit, Scale):
        raise CannotRun(
            f"layers: this edit of {lm.identity.source} does not scale units, so it cannot be kept to layers; leave "
            "layers out"
        )
    return Scale(only_layers(edit.selection, layers), edit.factor, edit.mechanism)


def labelled(progress: Progress, prefix: str) -> Progress:
    """Return a progress whose labels begin with `prefix`."""
    inner: Callable[[str, int, int], None] = progress
    return lambda label, done, total: inner(f"{prefix}: {label}", done, total)
