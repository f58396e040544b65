"""Where the planted units stand, and what they add to the base while they are being trained."""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from evenhand.planted.spec import Spec, shares_of

Address = tuple[int, int]
"""(layer, unit inside that layer's MLP)."""


def addresses(spec: Spec) -> dict[str, tuple[Address, ...]]:
    """Return the units of every set, drawn by the seed of the specification; no two sets share one."""
    rng = random.Random(f"{spec.seed}:units")
    pools = {layer: rng.sample(range(spec.model.intermediate), spec.model.intermediate)
             for layer in range(spec.model.layers)}  # fmt: skip
    places: dict[str, tuple[Address, ...]] = {}
    for each in spec.sets:
        found = [(layer, pools[layer].pop()) for layer, count in shares_of(each).items() for _ in range(count)]
        places[each.name] = tuple(sorted(found))
    return places


class PlantedUnits(nn.Module):
    """Gate, up and down weights of all sets; adds what they write to the MLPs of a base that does not use them."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.places = addresses(spec)
        self.sets = tuple(self.places)
        self.order: list[tuple[str, Address]] = [(name, place) for name, all_ in self.places.items() for place in all_]
        self.layers = tuple(sorted({layer for _, (layer, _) in self.order}))
        generator = torch.Generator().manual_seed(spec.seed)
        width = spec.model.hidden
        for layer in self.layers:
            count = len(self._names(layer))
            for part in ("gate", "up", "down"):
                weight = torch.randn(count, width, generator=generator) * (0.05 if part != "down" else 0.01)
                self.register_parameter(f"{part}{layer}", nn.Parameter(weight))

    def _names(self, layer: int) -> list[str]:
        return [name for name, (where, _) in self.order if where == layer]

    def rows_of(self, layer: int, name: str) -> list[int]:
        """Return which rows of a layer's parameters belong to a set."""
        return [i for i, each in enumerate(self._names(layer)) if each == name]

    def mask(self, layer: int, active: Sequence[Sequence[str]]) -> Float[Tensor, "case unit"]:
        """Return 1 where a unit's set is active in a case, else 0."""
        names = self._names(layer)
        return torch.tensor([[float(name in on) for name in names] for on in active])

    def written(
        self, layer: int, hidden: Float[Tensor, "case tok d"], mask: Float[Tensor, "#case unit"]
    ) -> Float[Tensor, "case tok d"]:
        """Return what the units of a layer add to the residual stream."""
        gate, up, down = (getattr(self, f"{part}{layer}") for part in ("gate", "up", "down"))
        inner = nn.functional.silu(hidden @ gate.T) * (hidden @ up.T) * mask[:, None, :]
        return inner @ down

    def of(self, name: str) -> Iterator[tuple[nn.Parameter, Tensor]]:
        """Yield every parameter with a 0/1 row mask of the units that belong to a set."""
        for layer in self.layers:
            own = torch.tensor([[float(each == name)] for each in self._names(layer)])
            for part in ("gate", "up", "down"):
                yield getattr(self, f"{part}{layer}"), own

    @contextmanager
    def attached(self, model: Any, active: Sequence[Sequence[str]]) -> Generator[None]:
        """Add what the active sets write to the MLP outputs of a model, case by case."""
        handles: list[Any] = []

        def hook(layer: int) -> Any:
            mask = self.mask(layer, active)

            def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
                return output + self.written(layer, inputs[0], mask)

            return add

        try:
            for layer in self.layers:
                handles.append(model.model.layers[layer].mlp.register_forward_hook(hook(layer)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    @torch.no_grad()
    def write(self, model: Any) -> None:
        """Write the units into the model's own weights."""
        for layer in self.layers:
            mlp = model.model.layers[layer].mlp
            units = [unit for _, (where, unit) in self.order if where == layer]
            mlp.gate_proj.weight[units] = getattr(self, f"gate{layer}").detach()
            mlp.up_proj.weight[units] = getattr(self, f"up{layer}").detach()
            mlp.down_proj.weight[:, units] = getattr(self, f"down{layer}").detach().T
