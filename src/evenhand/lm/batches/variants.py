"""Many edited versions of one model in one batch: each row has its own mask at the writers' inputs.

Multiplying what a unit hands to its writer equals multiplying the writer's columns (transformers-notes, section 6), and
multiplying an output feature equals multiplying its row and bias, so candidate edits can be compared without touching a
weight.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from evenhand.core.component import Layout, Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.lm.batches.resume import blocks, first_block
from evenhand.lm.model import LM


@dataclass(frozen=True, eq=False)
class Variant:
    """The model with the output of these units multiplied by `factor` (0: switched off)."""

    selection: Selection
    factor: float = 0.0


class RowMasks:
    """Masks of several variants; `rows` applies one of them to each row of a batch. `None` is the model as it stands.

    Only maps that some variant touches are hooked. Works on offloaded and quantised models. Raises UsageError when a
    selection was made on a model with other sites, or is of single weights, which no mask of activations can stand for.
    With a single variant `rows([0])` serves a batch of any size.
    """

    def __init__(self, lm: LM, variants: Sequence[Variant | None]) -> None:
        self.lm = lm
        self.variants = tuple(variants)
        self._tables: dict[tuple[str, bool], Float[Tensor, "variant _places"]] = {}
        """By path, and whether the map's output is multiplied instead of its input."""
        self._starts = [len(blocks(lm)) if v is None else first_block(lm, v.selection) for v in self.variants]
        for index, variant in enumerate(self.variants):
            if variant is not None:
                self._add(index, variant)

    def _add(self, index: int, variant: Variant) -> None:
        check_made_on(self.lm, variant.selection)
        space = variant.selection.layout.space
        if space == "weight":
            raise UsageError(
                "single weights cannot be switched off by masks; apply their edit instead (`edit.applied`)"
            )
        for site, units in variant.selection.by_site():
            shape = (len(self.variants), site.units * site.width)
            table = self._tables.setdefault((site.path, space == "row"), torch.ones(shape, device=self.lm.device))
            table[index, site.columns(units).to(table.device)] = variant.factor

    def start(self, which: Int[Tensor, " row"]) -> int:
        """Return the first block that any of these variants changes, counted as in `evenhand.lm.batches.resume`."""
        return min(self._starts[variant] for variant in set(cast("list[int]", which.tolist())))

    @contextmanager
    def rows(self, which: Int[Tensor, " row"], first_only: bool = False) -> Generator[None]:
        """Apply variant `which[i]` to row i of every forward in this block (`first_only`: to its first position)."""
        if self.lm.decoding is not None and self._tables and len(which) > 1:
            raise CannotRun(
                "several edits cannot share a batch while an edit of decoding is applied, which runs rows of its own; "
                "apply the others around it (`edit.applied`)"
            )
        with ExitStack() as hooks:
            for (path, output), table in self._tables.items():
                module, masks = self.lm.module(path), table[which.to(table.device)]
                handle = (
                    module.register_forward_hook(_output_multiplier(masks, first_only))
                    if output
                    else module.register_forward_pre_hook(_input_multiplier(masks, first_only))
                )
                hooks.callback(handle.remove)
            yield


def check_made_on(lm: LM, selection: Selection) -> None:
    """Raise UsageError unless the selection was made on a model with these very sites."""
    layout = lm.layout(selection.layout.space)
    if layout != selection.layout:
        raise UsageError(
            f"these units were chosen in a model with {_sites(selection.layout)}; {lm.identity.source} has "
            f"{_sites(layout)}. Use them on the model they were chosen in"
        )


def _sites(layout: Layout) -> str:
    first = f", the first of them {layout.sites[0].path}" if layout.sites else ""
    return f"{layout.size} {layout.space} units in {len(layout.sites)} sites{first}"


def _input_multiplier(masks: Float[Tensor, "row in"], first_only: bool) -> Any:
    def hook(module: Any, args: tuple[Tensor, ...]) -> tuple[Any, ...]:
        return (_multiplied(args[0], masks, first_only), *args[1:])

    return hook


def _output_multiplier(masks: Float[Tensor, "row out"], first_only: bool) -> Any:
    def hook(module: Any, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return _multiplied(output, masks, first_only)

    return hook


def _multiplied(hidden: Tensor, masks: Float[Tensor, "row width"], first_only: bool) -> Tensor:
    # OPT hands its MLP writer [row * position, in]: rows are told apart by reshaping, never by the first axis.
    apart = hidden.reshape(len(masks), -1, hidden.shape[-1])
    here = masks[:, None].to(hidden)
    changed = torch.cat([apart[:, :1] * here, apart[:, 1:]], dim=1) if first_only else apart * here
    return changed.reshape(hidden.shape)
