"""Multiply what chosen units write by a factor; 0 switches them off (pruning)."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, final

import torch
from jaxtyping import Int
from torch import Tensor

from evenhand.core.component import Layout, Selection, Site
from evenhand.core.edit import Edit
from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits._stack import entered
from evenhand.lm.family import transposed
from evenhand.lm.model import LM

Mechanism = Literal["weight", "activation"]


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
        return entered(lm, self, self._in_weights(lm) if self.mechanism == "weight" else self._in_hooks(lm))

    @contextmanager
    def _in_weights(self, lm: LM) -> Generator[None]:
        _check(lm, self.selection)
        targets = [_target(lm, site, units) for site, units in self.selection.by_site()]
        kept = [weight.index_select(axis, columns).clone() for weight, axis, columns in targets]
        try:
            self._multiply(targets)
            yield
        finally:
            with torch.no_grad():
                for (weight, axis, columns), original in zip(targets, kept, strict=True):
                    weight.index_copy_(axis, columns, original)

    @contextmanager
    def _in_hooks(self, lm: LM) -> Generator[None]:
        _check(lm, self.selection)
        with ExitStack() as hooks:
            for site, units in self.selection.by_site():
                handle = lm.module(site.path).register_forward_pre_hook(_scaler(site.columns(units), self.factor))
                hooks.callback(handle.remove)
            yield

    def bake(self, lm: LM) -> None:
        """Scale the weights for good; equal to `applied` because both multiply the weights."""
        _check(lm, self.selection)
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


def _check(lm: LM, selection: Selection) -> None:
    """Raise unless the selection was made on a model with these very sites."""
    layout = lm.layout(selection.layout.space)
    if layout != selection.layout:
        raise UsageError(
            f"this edit was made for {len(selection.layout.sites)} sites with {selection.layout.size} units, "
            f"{lm.identity.source} has {len(layout.sites)} with {layout.size}; apply it to the model it was fitted on"
        )


def _target(lm: LM, site: Site, units: Int[Tensor, " k"]) -> tuple[Tensor, int, Tensor]:
    """Weight, the axis of its inputs, and the columns of the units."""
    weight = lm.editable_weight(site.path, site.units * site.width)
    axis = 0 if transposed(lm.module(site.path)) else 1
    return weight.data, axis, site.columns(units).to(weight.device)


def _scaler(columns: Int[Tensor, " k"], factor: float) -> Any:
    """Pre-hook that scales these columns of a writer's input."""

    def hook(module: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        mask = torch.ones(args[0].shape[-1], dtype=args[0].dtype, device=args[0].device)
        mask[columns.to(mask.device)] = factor
        return (args[0] * mask, *args[1:])

    return hook
