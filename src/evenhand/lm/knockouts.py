"""What a model says when one unit alone is switched off: exact, for many units side by side, from their block on.

At all positions, every row is run again from the first block that changes. At the last position of the prompt alone,
everything before it stays as it is: the prompt is read once, without that token, into the key–value cache, and for each
unit only that token (and an answer's tokens but the last) is run again, in the unit's block and those above.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.progress import Progress, silent
from evenhand.lm.batching import HELD, Cost, Work, in_batches
from evenhand.lm.logits import check_length, padded, positions
from evenhand.lm.model import LM
from evenhand.lm.resume import States, first_block, keeping, resumed
from evenhand.lm.rows import Row
from evenhand.lm.shared import branches
from evenhand.lm.trace import frozen, inputs, target_scores
from evenhand.lm.variants import RowMasks, Variant

Positions = Literal["all", "last"]
_LABEL = "switching off"
_PART = 4
"""Rows whose states are held at once take a quarter of the budget, so that four units and more fit into a batch."""


def knockouts(
    lm: LM, rows: Sequence[Row], units: Selection, at: Positions = "all", progress: Progress = silent
) -> tuple[Float[Tensor, " case"], Float[Tensor, "unit case"]]:
    """Return each case's objective (Σ weight · log-probability over its rows' targets), and that without each unit.

    Nats, float64. Row `u` of the second is the objective when the u-th selected unit alone is switched off, at all
    positions or at the last one of the prompt. Cases are numbered from 0 to the largest. Raises UsageError for single
    weights and, with `last`, for rows whose prompt has fewer than two tokens; CannotRun with `last` for models that are
    not causal.
    """
    if at == "last":
        _check_last(lm, rows)
    check_length(lm, max(row.length for row in rows), "the longest prompt with its answer")
    run = _Run(lm, rows, units, at)
    with frozen(lm, False):
        run.run(progress)
    case = torch.tensor([row.case for row in rows])
    total = torch.zeros(int(case.max()) + 1, len(units) + 1, dtype=torch.float64).index_add_(0, case, run.found)
    return total[:, -1], total[:, :-1].T


def _check_last(lm: LM, rows: Sequence[Row]) -> None:
    if lm.kind != "causal":
        raise CannotRun(
            f"{lm.identity.source} is not a causal model: its prompt is not read from left to right, so no position is "
            "the last; switch units off at all positions (positions = 'all')"
        )
    if any(row.prompt < 2 for row in rows):
        raise UsageError(
            "a prompt of fewer than two tokens (a pair of sentences has none): nothing comes before its last position; "
            "switch units off at all positions (positions = 'all')"
        )


class _Run:
    """Rows, the units to switch off one at a time, and what is found of each row; the last column is no unit."""

    def __init__(self, lm: LM, rows: Sequence[Row], units: Selection, at: Positions) -> None:
        self.lm, self.rows, self.at = lm, rows, at
        self.alone = [Variant(Selection.of(units.layout, [int(unit)])) for unit in units.units]
        self.found = torch.zeros(len(rows), len(self.alone) + 1, dtype=torch.float64)
        self.by_block: dict[int, list[int]] = {}
        for number, variant in enumerate(self.alone):
            self.by_block.setdefault(first_block(lm, variant.selection), []).append(number)

    def run(self, progress: Progress) -> None:
        """Fill `found`, some rows at a time: their states are held while every unit is switched off."""

        def chunk(some: list[int]) -> None:
            begun = (_Last if self.at == "last" else _Whole)(
                self.lm, [self.rows[row] for row in some], [*self.by_block]
            )
            self.found[some, -1] = begun.base.double().cpu()
            for block, units in self.by_block.items():
                self._block(begun, some, block, units)

        in_batches(
            self.lm,
            Work(range(len(self.rows)), lambda i: Cost(self.rows[i].length, _PART), chunk, label=_LABEL),
            progress,
        )

    def _block(self, begun: _Whole, some: list[int], block: int, units: list[int]) -> None:
        """Switch off every unit of one block for these rows."""

        def run(batch: list[tuple[int, int]]) -> None:
            used = list(dict.fromkeys(unit for _, unit in batch))
            place = {unit: i for i, unit in enumerate(used)}
            masks = RowMasks(self.lm, [self.alone[unit] for unit in used])
            index, which = torch.tensor([(row, place[unit]) for row, unit in batch]).unbind(1)
            scores = begun.without(masks, which, block, index)
            for (row, unit), score in zip(batch, scores.double().cpu(), strict=True):
                self.found[some[row], unit] = score

        items = [(row, unit) for unit in units for row in range(len(some))]
        in_batches(self.lm, Work(items, lambda item: begun.cost(item[0]), run))


class _Whole:
    """Rows as the model stands, to be run again from any block on."""

    first_only = False

    def __init__(self, lm: LM, rows: Sequence[Row], starts: Sequence[int]) -> None:
        self.lm = lm
        self.rows = self.cut(rows)
        self.inputs = inputs(lm, self.rows)
        with keeping(lm, starts) as states:
            self.base = target_scores(lm, self.rows, self.given(torch.arange(len(rows)), 0))
        self.states: States = states

    def cut(self, rows: Sequence[Row]) -> list[Row]:
        """Return the part of each row that is run again."""
        return [*rows]

    def cost(self, row: int) -> Cost:
        """What it takes to run a row again."""
        return Cost(self.rows[row].length, 1, len(self.rows[row].targets))

    def given(self, index: Int[Tensor, " row"], start: int) -> dict[str, Any]:
        """Return the model's arguments for these rows."""
        return {name: x[index.to(x.device)] if isinstance(x, Tensor) else x for name, x in self.inputs.items()}

    def without(
        self, masks: RowMasks, which: Int[Tensor, " row"], start: int, index: Int[Tensor, " row"]
    ) -> Float[Tensor, " row"]:
        """Return the objective of rows `index`, row i as variant `which[i]`, none of which changes a block before."""
        rows = [self.rows[int(row)] for row in index]
        with resumed(self.lm, self.states, start, index), masks.rows(which, self.first_only):
            return target_scores(self.lm, rows, self.given(index, start))


class _Last(_Whole):
    """The same from the last token of the prompts on; what comes before them is read once, into a cache."""

    first_only = True

    def cut(self, rows: Sequence[Row]) -> list[Row]:
        """Read what comes before; return what is left of each row."""
        from transformers import DynamicCache

        before = {row.ids[: row.prompt - 1]: None for row in rows}
        order = {ids: number for number, ids in enumerate(before)}
        self.prefix = torch.tensor([order[row.ids[: row.prompt - 1]] for row in rows], device=self.lm.device)
        ids, self.mask = padded(self.lm, [*before], left=True)
        given: dict[str, Any] = {"input_ids": ids, "attention_mask": self.mask, **positions(self.lm, self.mask)}
        self.cache: Any = DynamicCache(config=self.lm.model.config)
        target_scores(self.lm, [], given | {"past_key_values": self.cache, "use_cache": True})
        return [_after(row) for row in rows]

    def cost(self, row: int) -> Cost:
        """What it takes to run a row again: its own tokens, and those held before it."""
        length = self.rows[row].length
        return Cost(length, 1 + self.mask.shape[1] / HELD / length, len(self.rows[row].targets))

    def given(self, index: Int[Tensor, " row"], start: int) -> dict[str, Any]:
        """Return what continues the cache with these rows; of the cache, blocks before `start` are never read."""
        here = index.to(self.lm.device)
        before = self.prefix[here]
        mask = torch.cat([self.mask[before], self.inputs["attention_mask"][here]], dim=1)
        places = {name: value[:, self.mask.shape[1] :] for name, value in positions(self.lm, mask).items()}
        cache = branches(self.cache, before, start)
        ids = self.inputs["input_ids"][here]
        return {"input_ids": ids, "attention_mask": mask, **places, "past_key_values": cache, "use_cache": True}


def _after(row: Row) -> Row:
    """The row from the last token of its prompt on."""
    targets = tuple(dataclasses.replace(each, position=each.position - row.prompt + 1) for each in row.targets)
    return dataclasses.replace(row, ids=row.ids[row.prompt - 1 :], prompt=1, name=(), targets=targets)
