"""Sequences that begin alike in one row: what they share is forwarded once, and a token sees only what leads to it.

A row is a tree of tokens written down depth first; an attention mask of its own hides from each token all but its
ancestors, and positions count its depth. Windowed attention would have to know of that mask: models with windows go
through the cache (transformers-notes, section 4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from evenhand.core.progress import Progress
from evenhand.lm.batches.batching import Cost, Work, in_batches
from evenhand.lm.batches.logits import forward, padded, positions
from evenhand.lm.batches.resume import begun_once
from evenhand.lm.batches.scores import Term
from evenhand.lm.batches.shared import Tokens
from evenhand.lm.batches.variants import RowMasks, Variant
from evenhand.lm.batches.wanted import Wanted
from evenhand.lm.model import LM
from evenhand.lm.tokens import Continuations

_LONGEST, _ALIKE, _TIMES = 512, 0.25, 3
"""A sequence joins a row with which it shares this much, as long as the row stays this short, or within this many times
what is shared: attention over a long row costs more than it saves."""
_OPEN = 1 << 62


def packable(lm: LM) -> bool:
    """Whether this causal model's attention is full and takes a mask, so that the mask alone decides what is seen."""
    config = lm.model.config
    layers: Any = getattr(config, "layer_types", None) or ()
    full = lm.family.holes or getattr(config, "sliding_window", 0) is None
    masked = getattr(config, "_attn_implementation", None) in ("eager", "sdpa")
    return lm.kind == "causal" and masked and full and all(kind == "full_attention" for kind in layers)


class PackedRow:
    """A tree of tokens, depth first: per node its token, its depth and where its descendants end."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.depth: list[int] = []
        self.ends: list[int] = []
        self.wanted: dict[tuple[int, int], int] = {}
        """(node, token that should follow it) → number of the target."""
        self.said: list[int] = []
        """1 where a node comes after the prompt; only edits that leave such alone look at it."""
        self._path: list[int] = []
        self._prompt = _OPEN

    def common(self, ids: Tokens, prompt: int = _OPEN) -> int:
        """Return with how many of these tokens, of which so many are prompt, the last branch begins."""
        alike = takewhile(lambda pair: self.tokens[pair[0]] == pair[1], zip(self._path, ids, strict=False))
        same = sum(1 for _ in alike)
        return same if prompt == self._prompt else min(same, prompt, self._prompt)

    @property
    def last(self) -> int:
        """The node in which the last branch ends."""
        return self._path[-1]

    def add(self, ids: Tokens, first: int, prompt: int = _OPEN) -> list[int]:
        """Add a sequence, of which so many tokens are prompt; return the numbers of those from `first` on as targets.

        The last token is never fed.
        """
        same = self.common(ids[:-1], prompt)
        self._prompt = prompt
        for node in self._path[same:]:
            self.ends[node] = len(self.tokens)
        del self._path[same:]
        for token in ids[same:-1]:
            self.said.append(int(len(self._path) >= prompt))
            self.depth.append(len(self._path))
            self._path.append(len(self.tokens))
            self.tokens.append(token)
            self.ends.append(_OPEN)
        places = [(self._path[i - 1], ids[i]) for i in range(first, len(ids))]
        return [self.wanted.setdefault(place, len(self.wanted)) for place in places]

    @property
    def branched(self) -> bool:
        """Whether the row is more than one plain sequence."""
        return self.depth[-1] != len(self.depth) - 1

    def cost(self) -> Cost:
        """What it takes."""
        return Cost(len(self.tokens), 1, len({node for node, _ in self.wanted}))


@dataclass(frozen=True)
class Packed:
    """Rows, and for every answer of every case its row and targets."""

    rows: list[PackedRow]
    places: list[list[tuple[int, list[int]]]]


def pack(cases: Sequence[Continuations], alike: bool = True) -> Packed:
    """Put sequences that begin alike into one row; without `alike` only those that feed the same tokens.

    Tokens are scored from `first` on, counted from the end of the prefix (negative: the prefix's own tokens too).
    """
    rows: list[PackedRow] = []
    places = [[(0, [0])] * len(case.tails) for case in cases]
    order = sorted((case.prefix, tail, i, j) for i, case in enumerate(cases) for j, tail in enumerate(case.tails))
    for prefix, tail, i, j in order:
        ids = prefix + tail
        first = len(prefix) + cases[i].first[j]
        prompt = _OPEN if cases[i].whole else first
        if not rows or not joins(rows[-1], ids[:-1], alike, prompt):
            rows.append(PackedRow())
        places[i][j] = len(rows) - 1, rows[-1].add(ids, first, prompt)
    return Packed(rows, places)


def joins(row: PackedRow, fed: Tokens, alike: bool, prompt: int = _OPEN) -> bool:
    """Whether a sequence shares enough with the last branch of a row, and the row stays short enough."""
    same = row.common(fed, prompt)
    if not alike:
        return same == len(fed) == len(row.tokens)
    return same >= _ALIKE * len(fed) and len(row.tokens) + len(fed) - same <= max(_LONGEST, _TIMES * same)


def packed_terms(
    lm: LM, packed: Packed, variants: Sequence[Variant | None], progress: Progress
) -> Iterator[list[list[list[Term]]]]:
    """Yield for each variant [case][answer][token] what is found; rows with branches need a model that is packable."""
    masks = RowMasks(lm, variants)
    units = [(row, variant) for row in range(len(packed.rows)) for variant in range(len(variants))]
    costs = [row.cost() for row in packed.rows]
    values: dict[tuple[int, int], list[Term]] = {}

    def run(batch: list[tuple[int, int]]) -> None:
        rows = [packed.rows[row] for row, _ in batch]
        found: list[list[Term]] = [[(0.0, False)] * len(row.wanted) for row in rows]
        wanted = Wanted()
        for unit, row in enumerate(rows):
            for (node, token), target in row.wanted.items():
                wanted.add((unit, node), unit, target, token)
        which, inputs = torch.tensor([variant for _, variant in batch]), packed_inputs(lm, rows)
        place, at = torch.tensor([*wanted.places]).unbind(1)
        with begun_once(lm, inputs, [row for row, _ in batch], masks.start(which)), masks.rows(which):
            wanted.fill(found, forward(lm, inputs, place, at)[0])
        values.update(zip(batch, found, strict=True))

    in_batches(lm, Work(units, lambda unit: costs[unit[0]], run), progress)
    for variant in range(len(variants)):
        yield [
            [[values[row, variant][target] for target in targets] for row, targets in answers]
            for answers in packed.places
        ]


def packed_inputs(lm: LM, rows: Sequence[PackedRow]) -> dict[str, Any]:
    """Return the model's arguments for rows whose branches do not see each other."""
    ids, mask = padded(lm, [row.tokens for row in rows])
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, "use_cache": False, **positions(lm, mask)}
    if any(any(row.said) for row in rows):
        inputs["said"] = _filled(rows, ids.shape[1], "said", 0).bool().to(ids.device)
    if any(row.branched for row in rows):
        depth, ends = (_filled(rows, ids.shape[1], name, fill) for name, fill in (("depth", 0), ("ends", _OPEN)))
        inputs["attention_mask"] = _visible(ends.to(ids.device), lm.model.dtype)
        inputs["position_ids"] = depth.to(ids.device)
    return inputs


def _filled(rows: Sequence[PackedRow], length: int, name: str, fill: int) -> Int[Tensor, "row pos"]:
    return torch.tensor([[*(own := getattr(row, name)), *[fill] * (length - len(own))] for row in rows])


def _visible(ends: Int[Tensor, "row pos"], dtype: torch.dtype) -> Float[Tensor, "row 1 pos pos"]:
    """Additive mask: a token sees itself and the nodes whose descendants have not ended before it."""
    place = torch.arange(ends.shape[1], device=ends.device)
    hidden = (place[:, None] >= ends[:, None, :]) | (place[:, None] < place)
    return torch.zeros(hidden.shape, dtype=dtype, device=ends.device).masked_fill(hidden, torch.finfo(dtype).min)[
        :, None
    ]
