"""What is asked of many lines, so that a line that several texts need is forwarded once."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from evenhand.core.progress import Progress
from evenhand.lm.batches.sequences import Line, score_lines
from evenhand.lm.batches.shared import Tokens
from evenhand.lm.batches.variants import Variant
from evenhand.lm.model import LM

Places = list[int]
"""Numbers of scored lines' targets, one per token."""


class Asked:
    """Lines to forward, each once, with all that is asked of them."""

    def __init__(self) -> None:
        self.asked: dict[tuple[Tokens, Tokens, int, int], int] = {}

    def add(self, ids: Tokens, at: int, token: int, said: Tokens = ()) -> int:
        """Return the number of a target: this token, predicted at this place of this sequence (`Line`)."""
        return self.asked.setdefault((ids, said, at, token), len(self.asked))

    def add_all(self, lines: Sequence[Line]) -> Places:
        """Return the numbers of all targets of these lines, in order."""
        return [
            self.add(line.ids, at, token, line.said)
            for line in lines
            for at, token in zip(line.at, line.targets, strict=True)
        ]

    def score(self, lm: LM, variants: Sequence[Variant | None], progress: Progress) -> list[list[float]]:
        """Return [variant][target] the log-likelihoods."""
        by_ids: dict[tuple[Tokens, Tokens], list[tuple[int, int, int]]] = {}
        for (ids, said, at, token), number in self.asked.items():
            by_ids.setdefault((ids, said), []).append((number, at, token))
        lines = [
            Line(ids, tuple(at for _, at, _ in few), tuple(token for *_, token in few), said)
            for (ids, said), few in by_ids.items()
        ]
        numbers = torch.tensor([number for few in by_ids.values() for number, *_ in few], dtype=torch.long)
        out: list[list[float]] = []
        for found in score_lines(lm, lines, variants, False, progress).logp:
            values = torch.empty(len(numbers), dtype=torch.float64)
            values[numbers] = torch.cat([torch.empty(0), *found]).double()
            out.append([float(value) for value in values])
        return out
