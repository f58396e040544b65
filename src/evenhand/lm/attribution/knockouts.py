"""What a model says when one unit alone is switched off: exact, for many units side by side, from their block on.

At all positions, every row is run again from the first block that changes. At the last position of the prompt alone,
everything before it stays as it is: the prompt is read once, without that token, into the key–value cache, and for each
unit only that token (and an answer's tokens but the last) is run again, in the unit's block and those above.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.progress import Progress, silent
from evenhand.lm.attribution.begun import Last, Whole
from evenhand.lm.attribution.rows import Row
from evenhand.lm.attribution.trace import frozen
from evenhand.lm.batches.batching import Cost, Work, in_batches
from evenhand.lm.batches.logits import check_length
from evenhand.lm.batches.resume import first_block
from evenhand.lm.batches.variants import RowMasks, Variant
from evenhand.lm.model import LM

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
            begun = (Last if self.at == "last" else Whole)(self.lm, [self.rows[row] for row in some], [*self.by_block])
            self.found[some, -1] = begun.base.double().cpu()
            for block, units in self.by_block.items():
                self._block(begun, some, block, units)

        in_batches(
            self.lm,
            Work(range(len(self.rows)), lambda i: Cost(self.rows[i].length, _PART), chunk, label=_LABEL),
            progress,
        )

    def _block(self, begun: Whole, some: list[int], block: int, units: list[int]) -> None:
        """Switch off every unit of one block for these rows."""

        def run(batch: list[tuple[int, int]]) -> None:
            used = list(dict.fromkeys(unit for _, unit in batch))
            place = {unit: i for i, unit in enumerate(used)}
            masks = RowMasks(self.lm, [self.alone[unit] for unit in used])
            index, which = torch.tensor([(row, place[unit]) for row, unit in batch]).unbind(1)
            with masks.rows(which, first_only=self.at == "last"):
                scores = begun.again(index, block)
            for (row, unit), score in zip(batch, scores.double().cpu(), strict=True):
                self.found[some[row], unit] = score

        items = [(row, unit) for unit in units for row in range(len(some))]
        in_batches(self.lm, Work(items, lambda item: begun.cost(item[0]), run))
