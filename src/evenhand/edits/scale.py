"""Multiply what chosen units write by a factor; 0 switches them off (pruning)."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal, final, get_args

import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from evenhand.core.component import Layout, Selection
from evenhand.core.edit import Edit
from evenhand.core.errors import CannotRun
from evenhand.core.select import amount, matched_random
from evenhand.edits._stack import entered
from evenhand.lm.batches.variants import RowMasks, Variant, check_made_on
from evenhand.lm.family import transposed
from evenhand.lm.model import LM

Mechanism = Literal["weight", "activation"]
Factor = Annotated[float, Field(allow_inf_nan=False)]
"""A factor as methods take it: 0 switches off, 1 changes nothing."""


@final
@dataclass(frozen=True, eq=False)
class Scale(Edit):
    """Scale the output of a selection of units, or the selected weights, by `factor`.

    `weight` multiplies columns of writers (rows of linear maps and their bias, entries) in place and keeps the original
    bits to put back. `activation` multiplies the writer's input (the map's output) in a hook, which also works on
    offloaded and quantised models, but not for single weights. The two are equal for factor 0 and 1; for other factors
    they differ in the last bits in bfloat16, which is why one edit uses one mechanism.
    """

    selection: Selection
    factor: float = 0.0
    mechanism: Mechanism = "weight"

    def applied(self, lm: LM) -> AbstractContextManager[None]:
        """Scale for the length of a `with` block."""
        if self.mechanism == "weight":
            return entered(lm, self, self._in_weights(lm))
        masks = RowMasks(lm, [Variant(self.selection, self.factor)])
        return entered(lm, self, masks.rows(torch.zeros(1, dtype=torch.long)))

    @contextmanager
    def _in_weights(self, lm: LM) -> Generator[None]:
        check_made_on(lm, self.selection)
        targets = [*_targets(lm, self.selection)]
        kept = [weight.index_select(axis, columns).clone() for weight, axis, columns in targets]
        try:
            self._multiply(targets)
            yield
        finally:
            with torch.no_grad():
                for (weight, axis, columns), original in zip(targets, kept, strict=True):
                    weight.index_copy_(axis, columns, original)

    def bake(self, lm: LM) -> None:
        """Scale the weights for good; equal to `applied` because both multiply the weights."""
        check_made_on(lm, self.selection)
        if self.mechanism == "activation" and self.factor not in (0.0, 1.0):
            raise CannotRun(
                f"this edit scales activations by {self.factor}; baked into weights it would differ in the last bits. "
                "Fit it with mechanism 'weight' to export it"
            )
        self._multiply([*_targets(lm, self.selection)])

    def _multiply(self, targets: list[tuple[Tensor, int, Tensor]]) -> None:
        with torch.no_grad():
            for weight, axis, columns in targets:
                weight.index_copy_(axis, columns, weight.index_select(axis, columns) * self.factor)

    def tensors(self) -> dict[str, Tensor]:
        """Return the addresses of the units; of weights, those inside each matrix, which are half as long."""
        if self.selection.layout.space != "weight":
            return {"units": self.selection.units}
        return {site.path: units.int() for site, units in self.selection.by_site()}

    def settings(self) -> dict[str, Any]:
        """Return factor, mechanism and layout."""
        return {"factor": self.factor, "mechanism": self.mechanism, "layout": self.selection.layout.to_json()}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, Any]) -> Scale:
        """Rebuild from file."""
        layout = Layout.from_json(settings["layout"])
        if layout.space == "weight":
            empty = torch.zeros(0, dtype=torch.int32)
            chosen = Selection.joined(layout, [tensors.get(site.path, empty).long() for site in layout.sites])
        else:
            chosen = Selection.of(layout, tensors["units"])
        mechanism = settings["mechanism"]
        if mechanism not in get_args(Mechanism):
            raise ValueError(f"mechanism is {mechanism!r}, expected {' or '.join(get_args(Mechanism))}")
        return cls(chosen, float(settings["factor"]), mechanism)

    def control(self, seed: int) -> Scale:
        """Return an edit of as many random units in every layer, none of them the edit's own where that fits."""
        generator = torch.Generator().manual_seed(seed + len(self.selection))
        return Scale(matched_random(self.selection, generator), self.factor, self.mechanism)

    def describe(self) -> str:
        """Return one plain sentence."""
        what = "switches off" if self.factor == 0 else f"multiplies by {self.factor:g}"
        layers = [name for name, n in self.selection.per_layer().items() if n]
        where = f", in {', '.join(layers)}" if layers else ""
        return f"{what} {amount(self.selection)}{where}"


def _targets(lm: LM, selection: Selection) -> Iterator[tuple[Tensor, int, Tensor]]:
    """What is multiplied: a tensor of the model, an axis of it, and the places on that axis."""
    space = selection.layout.space
    for site, units in selection.by_site():
        module, weight = lm.module(site.path), lm.editable_weight(site.path).data
        places = site.columns(units).to(weight.device)
        if space == "weight":
            yield weight.view(-1), 0, _stored(places, weight) if transposed(module) else places
            continue
        yield weight, int(transposed(module) == (space == "row")), places
        bias: Tensor | None = getattr(module, "bias", None)
        if space == "row" and bias is not None:
            yield bias.data, 0, places


def _stored(entries: Int[Tensor, " k"], weight: Tensor) -> Int[Tensor, " k"]:
    """Where entries numbered as [out, in] stand in a weight stored as [in, out]."""
    inputs, outputs = weight.shape
    return (entries % inputs) * outputs + entries // inputs
