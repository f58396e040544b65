"""Multiply what chosen units write by a factor; 0 switches them off (pruning)."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal, final

import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from evenhand.core.component import Layout, Selection, Site
from evenhand.core.edit import Edit
from evenhand.core.errors import CannotRun
from evenhand.edits._stack import entered
from evenhand.lm.family import transposed
from evenhand.lm.model import LM
from evenhand.lm.variants import RowMasks, Variant, check_made_on

Mechanism = Literal["weight", "activation"]
Factor = Annotated[float, Field(allow_inf_nan=False)]
"""A factor as methods take it: 0 switches off, 1 changes nothing."""


@final
@dataclass(frozen=True, eq=False)
class Scale(Edit):
    """Scale the output of a selection of neurons or heads by `factor`.

    `weight` multiplies the writer's columns in place and keeps the original bits to put back. `activation` multiplies
    the writer's input in a hook, which also works on offloaded and quantised models. The two are equal for factor 0 and
    1; for other factors they differ in the last bits in bfloat16, which is why one edit uses one mechanism.
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
        targets = [_target(lm, site, units) for site, units in self.selection.by_site()]
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
        self._multiply([_target(lm, site, units) for site, units in self.selection.by_site()])

    def _multiply(self, targets: list[tuple[Tensor, int, Tensor]]) -> None:
        with torch.no_grad():
            for weight, axis, columns in targets:
                weight.index_copy_(axis, columns, weight.index_select(axis, columns) * self.factor)

    def tensors(self) -> dict[str, Tensor]:
        """Return the addresses of the units."""
        return {"units": self.selection.units}

    def settings(self) -> dict[str, Any]:
        """Return factor, mechanism and layout."""
        return {"factor": self.factor, "mechanism": self.mechanism, "layout": self.selection.layout.to_json()}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, Any]) -> Scale:
        """Rebuild from file."""
        layout = Layout.from_json(settings["layout"])
        return cls(Selection.of(layout, tensors["units"]), float(settings["factor"]), settings["mechanism"])

    def describe(self) -> str:
        """Return one plain sentence."""
        what = "switches off" if self.factor == 0 else f"multiplies by {self.factor:g}"
        layers = [name for name, n in self.selection.per_layer().items() if n]
        where = f", in {', '.join(layers)}" if layers else ""
        return (
            f"{what} {len(self.selection)} of {self.selection.layout.size} {self.selection.layout.space} units "
            f"({self.selection.share:.3%}){where}"
        )


def _target(lm: LM, site: Site, units: Int[Tensor, " k"]) -> tuple[Tensor, int, Tensor]:
    """Weight, the axis of its inputs, and the columns of the units."""
    weight = lm.editable_weight(site.path, site.units * site.width)
    axis = 0 if transposed(lm.module(site.path)) else 1
    return weight.data, axis, site.columns(units).to(weight.device)
