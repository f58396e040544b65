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
from evenhand.lm.resume import States, begun_once, first_block, keeping, resumed
from evenhand.lm.rows import Row
from evenhand.lm.shared import branches
from evenhand.lm.trace import frozen, inputs, target_scores
from evenhand.lm.variants import RowMasks, Variant

Positions = Literal["all", "last"]
_LABEL = "switching off"


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
    run = _Run(lm, rows, units, progress)
    with frozen(lm, False):
        (run.everywhere if at == "all" else run.at_last)()
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
    """Rows, the units to switch off one at a time, and what is found of each row; the last variant is no unit."""

    def __init__(self, lm: LM, rows: Sequence[Row], units: Selection, progress: Progress) -> None:
        self.lm, self.rows, self.progress = lm, rows, progress
        self.alone = [Selection.of(units.layout, [int(unit)]) for unit in units.units]
        self.found = torch.zeros(len(rows), len(self.alone) + 1, dtype=torch.float64)
        # Units of one block side by side, so that a batch begins as late as it can.
        self.order = sorted(range(len(self.alone)), key=lambda unit: first_block(lm, self.alone[unit]))

    def masks(self, batch: Sequence[tuple[int, int]]) -> tuple[RowMasks, Int[Tensor, " row"]]:
        """Return the masks of the units of a batch, and which of them each row gets."""
        used = list(dict.fromkeys(unit for _, unit in batch))
        place = {unit: i for i, unit in enumerate(used)}
        variants = [None if unit == len(self.alone) else Variant(self.alone[unit]) for unit in used]
        return RowMasks(self.lm, variants), torch.tensor([place[unit] for _, unit in batch])

    def put(self, batch: Sequence[tuple[int, int]], scores: Float[Tensor, " row"]) -> None:
        row, unit = torch.tensor(batch).unbind(1)
        self.found[row, unit] = scores.double().cpu()

    def everywhere(self) -> None:
        def run(batch: list[tuple[int, int]]) -> None:
            rows, (masks, which) = [self.rows[row] for row, _ in batch], self.masks(batch)
            begun = begun_once(self.lm, inputs(self.lm, rows), [row for row, _ in batch], masks.start(which))
            with begun, masks.rows(which):
                self.put(batch, target_scores(self.lm, rows))

        items = [(row, unit) for unit in (*self.order, len(self.alone)) for row in range(len(self.rows))]

        def cost(item: tuple[int, int]) -> Cost:
            return Cost(self.rows[item[0]].length, 1, len(self.rows[item[0]].targets))

        in_batches(self.lm, Work(items, cost, run, label=_LABEL), self.progress)

    def at_last(self) -> None:
        def run(some: list[int]) -> None:
            tail = _Tail(self.lm, [self.rows[row] for row in some])
            self.put([(row, len(self.alone)) for row in some], tail.base)

            def again(batch: list[tuple[int, int]]) -> None:
                masks, which = self.masks(batch)
                index = torch.tensor([some.index(row) for row, _ in batch])
                self.put(batch, tail.without(masks, which, index))

            items = [(row, unit) for unit in self.order for row in some]
            in_batches(
                self.lm, Work(items, lambda item: tail.cost(self.rows[item[0]]), again, label=_LABEL), self.progress
            )

        in_batches(self.lm, Work(range(len(self.rows)), lambda row: Cost(self.rows[row].length), run, label="prompts"))


class _Tail:
    """The last tokens of rows, on a cache of what comes before them, as the model stands and without units."""

    def __init__(self, lm: LM, rows: Sequence[Row]) -> None:
        from transformers import DynamicCache

        self.lm = lm
        self.rows = [_after(row) for row in rows]
        before = {row.ids[: row.prompt - 1]: None for row in rows}
        order = {ids: number for number, ids in enumerate(before)}
        self.prefix = torch.tensor([order[row.ids[: row.prompt - 1]] for row in rows])
        ids, self.mask = padded(lm, [*before], left=True)
        given: dict[str, Any] = {"input_ids": ids, "attention_mask": self.mask, **positions(lm, self.mask)}
        cache = DynamicCache(config=lm.model.config)
        target_scores(lm, [Row(0, (), 0)] * len(ids), given | {"past_key_values": cache, "use_cache": True})
        self.cache = cache
        everything = torch.arange(len(rows))
        with keeping(lm) as states:
            self.base = target_scores(lm, self.rows, self._given(everything, 0))
        self.states: States = states

    def cost(self, row: Row) -> Cost:
        """What it takes to run a row again."""
        past = self.mask.shape[1]
        return Cost(row.length, (row.length - row.prompt + 1 + past / HELD) / row.length, len(row.targets))

    def without(self, masks: RowMasks, which: Int[Tensor, " row"], index: Int[Tensor, " row"]) -> Float[Tensor, " row"]:
        """Return the objective of rows `index`, row i as variant `which[i]` at its first token."""
        start = masks.start(which)
        rows = [self.rows[int(i)] for i in index]
        with resumed(self.lm, self.states, start, index), masks.rows(which, first_only=True):
            return target_scores(self.lm, rows, self._given(index, start))

    def _given(self, index: Int[Tensor, " row"], start: int) -> dict[str, Any]:
        """The arguments that continue the cache with these rows; layers of the cache before `start` are never read."""
        ids, own = padded(self.lm, [row.ids for row in self.rows])
        here = index.to(ids.device)
        before = self.prefix.to(ids.device)[here]
        mask = torch.cat([self.mask[before], own[here]], dim=1)
        places = {name: value[:, self.mask.shape[1] :] for name, value in positions(self.lm, mask).items()}
        cache = branches(self.cache, before, start)
        return {"input_ids": ids[here], "attention_mask": mask, **places, "past_key_values": cache, "use_cache": True}


def _after(row: Row) -> Row:
    """The row from the last token of its prompt on."""
    targets = tuple(dataclasses.replace(each, position=each.position - row.prompt + 1) for each in row.targets)
    return dataclasses.replace(row, ids=row.ids[row.prompt - 1 :], prompt=1, name=(), targets=targets)
