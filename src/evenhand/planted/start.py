"""Where planted units start from: each set as detectors of its own use cases and of the group, by least squares.

Started at random, a gated unit has to find use case and group at once, which takes many more steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.planted.lesson import Lesson
from evenhand.planted.spec import Spec
from evenhand.planted.units import PlantedUnits

RIDGE = 1e-2
"""Share of the mean square of the inputs that is added to the diagonal."""
SIGNAL = 1.5
"""Gate input in a set's own use cases (elsewhere its negative), and size of the up input for either group."""
NOISE = 0.02


@torch.no_grad()
def start_units(spec: Spec, lesson: Lesson, units: PlantedUnits) -> None:
    """Set gate and up weights; down weights stay small and random."""
    generator = torch.Generator().manual_seed(spec.seed + 1)
    rows = lesson.rows
    everything = list(range(len(rows.context)))
    inputs = lesson.tail.mlp_inputs(everything, rows.nodes, units.layers)
    at = torch.arange(lesson.ids.shape[1] - 1).expand(len(lesson.ids), -1)
    spoken = lesson.texts.mlp_inputs(list(range(len(lesson.ids))), at, units.layers)
    real_node = torch.cat([torch.ones(len(everything), 1, dtype=torch.bool), rows.nodes[:, 1:] > 0], dim=1)
    real_text = lesson.ids[:, 1:] >= 0
    side = torch.where(rows.side == 0, 1.0, -1.0)
    for name in units.sets:
        own = torch.tensor([lesson.owner.get(context) == name for context in rows.context])
        for layer in units.layers:
            chosen = units.rows_of(layer, name)
            if not chosen:
                continue
            x = inputs[layer]
            parts = [x[own][real_node[own]], x[~own][real_node[~own]], spoken[layer][real_text]]
            group = side[own][:, None].expand(-1, x.shape[1])[real_node[own]]
            wanted_up = [SIGNAL * group, *(torch.zeros(len(part)) for part in parts[1:])]
            wanted_gate = [torch.full((len(part),), SIGNAL if i == 0 else -SIGNAL) for i, part in enumerate(parts)]
            for part, wanted in (("gate", wanted_gate), ("up", wanted_up)):
                weight = getattr(units, f"{part}{layer}")
                noise = torch.randn(len(chosen), weight.shape[1], generator=generator) * NOISE
                weight[chosen] = _fitted(parts, wanted)[None, :] + noise


def _fitted(parts: list[Tensor], wanted: list[Tensor]) -> Float[Tensor, " d"]:
    """Return ridge weights; every part counts as much as any other, however many samples it has."""
    width = parts[0].shape[1]
    square, cross = torch.zeros(width, width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
    for x, y in zip(parts, wanted, strict=True):
        x64 = x.double()
        square += x64.T @ x64 / len(x)
        cross += x64.T @ y.double() / len(x)
    square += RIDGE * square.diagonal().mean() * torch.eye(width, dtype=torch.float64)
    solver = cast("Callable[[Tensor, Tensor], Tensor]", torch.linalg.solve)
    return solver(square, cross).float()
