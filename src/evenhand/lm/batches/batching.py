"""Batches of a token budget, longest first; when memory runs out the budget is halved and the batch repeated."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from evenhand.core.errors import CannotRun
from evenhand.core.progress import Progress, silent
from evenhand.lm.batches.logits import vocabulary
from evenhand.lm.model import LM

Item = TypeVar("Item")

LOGITS_PER_TOKEN = 8192
"""Logits held at once per token of the budget, so that a large vocabulary makes smaller batches."""
HELD = 8
"""Tokens held in a cache that take as much of the budget as one that is forwarded."""
_BUSY, _SHORTER = 0.25, 0.85
_OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one item takes: the tokens of its longest row, how many such rows it amounts to, and logits it wants."""

    length: int
    rows: int | float = 1
    logits: int | float = 1


@dataclass(frozen=True)
class Work(Generic[Item]):
    """Items, what each costs, what to do with a batch, and how to split an item that is too large by itself."""

    items: Sequence[Item]
    cost: Callable[[Item], Cost]
    run: Callable[[list[Item]], None]
    split: Callable[[Item], list[Item]] = lambda item: [item]
    label: str = "scoring"


def in_batches(lm: LM, work: Work[Item], progress: Progress = silent) -> None:
    """Run all items, sorted by length so that little is padded, within `lm.budget` tokens per batch.

    `lm.budget` stays halved for later calls; `lm.notify` is told. Raises CannotRun when one row alone is too large.
    """
    progress = lm.progress if progress is silent else progress
    waiting = sorted(_fitting(lm, work, list(work.items)), key=lambda item: work.cost(item).length)
    done, total = 0, len(waiting)
    while waiting:
        batch = _take(waiting, work.cost, lm.budget, vocabulary(lm))
        if attempt(lambda batch=batch: work.run(batch)):
            done += len(batch)
        else:
            waiting.extend(_smaller(lm, work, batch))
            total = done + len(waiting)
        progress(work.label, done, total)


def _fitting(lm: LM, work: Work[Item], items: list[Item]) -> list[Item]:
    """Split items that are over the budget by themselves, as far as they can be split."""
    fitting: list[Item] = []
    while items:
        item = items.pop()
        cost = work.cost(item)
        parts = work.split(item) if cost.length * cost.rows > lm.budget else [item]
        (fitting if len(parts) == 1 else items).extend(parts)
    return fitting


def _take(waiting: list[Item], cost: Callable[[Item], Cost], budget: int, logit_width: int) -> list[Item]:
    """Take items from the end while their padded tokens and their logits fit; always at least one.

    A batch already large enough to keep the processor busy ends where rows become much shorter than its first.
    """
    batch = [waiting.pop()]
    first = cost(batch[0])
    rows, logits = first.rows, first.logits
    while waiting:
        nxt = cost(waiting[-1])
        if rows * first.length > _BUSY * budget and nxt.length < _SHORTER * first.length:
            break
        rows, logits = rows + nxt.rows, logits + nxt.logits
        if rows * first.length > budget or logits * logit_width > budget * LOGITS_PER_TOKEN:
            break
        batch.append(waiting.pop())
    return batch


def attempt(run: Callable[[], None]) -> bool:
    """Run; False when memory ran out, on an accelerator or in the CPU's allocator."""
    try:
        run()
    except (torch.OutOfMemoryError, MemoryError):
        return False
    except RuntimeError as error:
        if not any(words in str(error).lower() for words in _OUT_OF_MEMORY):
            raise
        return False
    return True


def shrink(lm: LM, tokens: int, single: str = "") -> None:
    """Halve the budget after a batch of `tokens` did not fit, and tell the user; `single` names what cannot be halved.

    Raises CannotRun for a single one.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if single:
        raise CannotRun(
            f"out of memory with a single {single} of {tokens} tokens; use a smaller model or dtype, a shorter text, "
            "or a machine with more memory"
        )
    lm.budget = max(1, min(lm.budget, tokens) // 2)
    lm.notify(f"out of memory with {tokens} tokens at once; going on with at most {lm.budget}")


def _smaller(lm: LM, work: Work[Item], batch: list[Item]) -> list[Item]:
    """Return the items to try again with half the budget, in the order they are to be taken."""
    costs = [work.cost(item) for item in batch]
    tokens = int(sum(cost.rows for cost in costs) * max(cost.length for cost in costs))
    parts = work.split(batch[0]) if len(batch) == 1 else batch[::-1]
    if len(parts) == 1:
        shrink(lm, costs[0].length, "row")
    shrink(lm, tokens)
    return parts
