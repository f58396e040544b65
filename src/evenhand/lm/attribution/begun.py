"""Rows read once as the model stands, to be run again from any block on, whole or from the end of their prompts on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from evenhand.lm.attribution.rows import Row
from evenhand.lm.attribution.trace import inputs, target_scores
from evenhand.lm.batches.batching import HELD, Cost
from evenhand.lm.batches.logits import padded, positions
from evenhand.lm.batches.resume import States, keeping, resumed
from evenhand.lm.batches.shared import branches
from evenhand.lm.model import LM


class Whole:
    """Rows as the model stands, to be run again from any block on."""

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

    def again(self, index: Int[Tensor, " row"], start: int) -> Float[Tensor, " row"]:
        """Run rows `index` again from block `start` on, nothing before it changing, and return their objectives.

        Where gradients are enabled, with their graph.
        """
        rows = [self.rows[int(row)] for row in index]
        with resumed(self.lm, self.states, start, index):
            return target_scores(self.lm, rows, self.given(index, start))


class Last(Whole):
    """The same from the last token of the prompts on; what comes before them is read once, into a cache."""

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
        ids, said = self.inputs["input_ids"][here], self.inputs["said"][here]
        return {
            "input_ids": ids,
            "said": said,
            "attention_mask": mask,
            **places,
            "past_key_values": cache,
            "use_cache": True,
        }


def _after(row: Row) -> Row:
    """The row from the last token of its prompt on."""
    targets = tuple(dataclasses.replace(each, position=each.position - row.prompt + 1) for each in row.targets)
    return dataclasses.replace(row, ids=row.ids[row.prompt - 1 :], prompt=1, name=(), targets=targets)
