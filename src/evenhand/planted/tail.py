"""The upper layers of the base, resumed from stored states, so that planting never recomputes what it cannot change."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from evenhand.planted.outcomes import NEVER, Rows
from evenhand.planted.units import PlantedUnits


@dataclass(frozen=True)
class Tail:
    """Stored inputs of the first planted layer, and what is needed to go on from there."""

    model: Any
    first: int
    states: Float[Tensor, "case tok d"]
    positions: Int[Tensor, "case tok"]
    mask: Float[Tensor, "case 1 tok tok"]

    @staticmethod
    def of(
        model: Any,
        first: int,
        ids: Int[Tensor, "case tok"],
        positions: Int[Tensor, "case tok"],
        mask: Float[Tensor, "case 1 tok tok"],
    ) -> Tail:
        """Run the layers before `first` once."""
        with torch.no_grad():
            pieces = [
                _through(model, range(first), model.model.embed_tokens(ids[i : i + 64]), positions[i : i + 64],
                         mask[i : i + 64])
                for i in range(0, len(ids), 64)
            ]  # fmt: skip
        return Tail(model, first, torch.cat(pieces), positions, mask)

    @staticmethod
    def of_texts(model: Any, first: int, ids: Int[Tensor, "case tok"]) -> Tail:
        """Prepare texts padded with -1 on the right, which no real token can see."""
        width = ids.shape[1]
        mask = torch.full((width, width), NEVER).triu(1).expand(len(ids), 1, width, width)
        positions = torch.arange(width).expand(len(ids), width)
        return Tail.of(model, first, ids.clamp(min=0), positions, mask)

    def logp(
        self,
        index: Sequence[int],
        at: Int[Tensor, "case node"],
        units: PlantedUnits | None,
        active: Sequence[Sequence[str]],
    ) -> Float[Tensor, "case node vocab"]:
        """Return next-token log-probabilities of the rows `index` at positions `at`, with each row's active sets."""
        pick = list(index)
        layers = range(self.first, len(self.model.model.layers))
        width = int(at.max()) + 1
        states, positions = self.states[pick, :width], self.positions[pick, :width]
        arguments = (self.model, layers, states, positions, self.mask[pick][:, :, :width, :width])
        if units is None:
            hidden = _through(*arguments)
        else:
            with units.attached(self.model, active):
                hidden = _through(*arguments)
        wanted = hidden.gather(1, at[:, :, None].expand(-1, -1, hidden.shape[-1]))
        logits: Tensor = self.model.lm_head(self.model.model.norm(wanted))
        return logits.log_softmax(-1)

    @torch.no_grad()
    def mlp_inputs(
        self, index: Sequence[int], at: Int[Tensor, "case node"], layers: Sequence[int]
    ) -> dict[int, Float[Tensor, "case node d"]]:
        """Return what the MLPs of some layers are given in the base, at positions `at` of the rows `index`."""
        pieces: dict[int, list[Tensor]] = {layer: [] for layer in layers}
        for start in range(0, len(index), 64):
            pick, places = list(index[start : start + 64]), at[start : start + 64]
            hidden = self.states[pick]
            for layer in range(self.first, max(layers) + 1):
                block = self.model.model.layers[layer]
                seen: list[Tensor] = []
                with _inputs_of(block.mlp, seen):
                    hidden = _through(
                        self.model, range(layer, layer + 1), hidden, self.positions[pick], self.mask[pick]
                    )
                if layer in pieces:
                    pieces[layer].append(seen[0].gather(1, places[:, :, None].expand(-1, -1, hidden.shape[-1])))
        return {layer: torch.cat(found) for layer, found in pieces.items()}


@contextmanager
def _inputs_of(module: nn.Module, seen: list[Tensor]) -> Generator[None]:
    """Append what a module is given, for the length of a block."""

    def note(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen.append(given[0])

    handle = module.register_forward_pre_hook(note)
    try:
        yield
    finally:
        handle.remove()


def _through(
    model: Any,
    layers: range,
    hidden: Float[Tensor, "case tok d"],
    positions: Int[Tensor, "case tok"],
    mask: Float[Tensor, "case 1 tok tok"],
) -> Float[Tensor, "case tok d"]:
    turns = model.model.rotary_emb(hidden, positions)
    for layer in layers:
        hidden = model.model.layers[layer](
            hidden, attention_mask=mask, position_ids=positions, position_embeddings=turns, use_cache=False
        )
    return hidden


@torch.no_grad()
def answers(
    tail: Tail, rows: Rows, units: PlantedUnits | None, active: Sequence[str], index: Sequence[int] | None = None
) -> Float[Tensor, "case opt"]:
    """Return the log-probabilities of all answers of all rows (or of `index`) with these sets active."""
    chosen = list(range(len(rows.context))) if index is None else list(index)
    pieces: list[Tensor] = []
    for start in range(0, len(chosen), 64):
        part = chosen[start : start + 64]
        pieces.append(rows.answers(part, tail.logp(part, rows.nodes[part], units, [active] * len(part))))
    return torch.cat(pieces)
