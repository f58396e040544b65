"""Prompts with the answers that branch off them: what must be fed, which predictions are wanted, and running both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.lm.batching import HELD, Cost
from evenhand.lm.logits import log_likelihood, none_likelier
from evenhand.lm.model import LM
from evenhand.lm.packed import packable, packed_logits
from evenhand.lm.shared import Tokens, share
from evenhand.lm.variants import RowMasks

Term = tuple[float, bool]
"""Log-likelihood of a token, and whether no other is likelier in its place."""
_ROOT = -1
"""Branch number of the prompt itself, whose last token predicts the first token of an answer."""


@dataclass(slots=True)
class Tree:
    """A prompt, what is fed after it, and the tokens wanted: (branch, position in it, token)."""

    prompt: Tokens
    feeds: dict[Tokens, int] = field(default_factory=dict[Tokens, int])
    targets: dict[tuple[int, int, int], int] = field(default_factory=dict[tuple[int, int, int], int])

    def add(self, tail: Tokens, first: int) -> list[int]:
        """Return the numbers of the targets of one answer; answers that begin alike share what can be shared.

        The last token of an answer predicts nothing that is asked for, so it is never fed.
        """
        fed = tail[:-1]
        branch = self.feeds.setdefault(fed, len(self.feeds)) if fed else _ROOT
        wanted = [(branch if i else _ROOT, i - 1, tail[i]) for i in range(first, len(tail))]
        return [self.targets.setdefault(target, len(self.targets)) for target in wanted]

    def within(self) -> list[int]:
        """Return the numbers of the targets that are the prompt's own tokens, its first left out: nothing predicts it.

        Only for rows that are packed: a cache keeps no logits inside a prompt.
        """
        end = len(self.prompt)
        wanted = [(_ROOT, i - 1 - end, self.prompt[i]) for i in range(1, end)]
        return [self.targets.setdefault(target, len(self.targets)) for target in wanted]

    @property
    def longest(self) -> int:
        """Tokens of the prompt with its longest branch."""
        return len(self.prompt) + max((len(fed) for fed in self.feeds), default=0)

    def cost(self, packed: bool) -> Cost:
        """What one row of it takes: prompt and branches side by side, or branches that each hold the prompt."""
        ends = 1 + len({(branch, at) for branch, at, _ in self.targets})
        if packed or len(self.feeds) < 2:
            return Cost(len(self.prompt) + sum(len(fed) for fed in self.feeds), 1, ends)
        branches, length = len(self.feeds), self.longest
        forwarded, held = length + branches * (length - len(self.prompt)), length * (1 + branches)
        return Cost(length, max(forwarded, held / HELD) / length, ends)


class Wanted:
    """Places whose logits are computed, once each, and the tokens looked up in them."""

    def __init__(self) -> None:
        self.places: dict[tuple[int, int], int] = {}
        self.tokens: list[tuple[int, int, int, int]] = []

    def add(self, place: tuple[int, int], unit: int, target: int, token: int) -> None:
        """Ask for the logit of a token at a place."""
        self.tokens.append((unit, target, self.places.setdefault(place, len(self.places)), token))

    def fill(self, found: list[list[Term]], logits: Float[Tensor, "k vocab"]) -> None:
        """Put what is found of each token into its (unit, target)."""
        if not self.tokens:
            return
        _, _, row, token = (torch.tensor(column) for column in zip(*self.tokens, strict=True))
        values = cast("list[float]", log_likelihood(logits, row, token).tolist())
        top = cast("list[bool]", none_likelier(logits, row, token).tolist())
        for (unit, target, _, _), term in zip(self.tokens, zip(values, top, strict=True), strict=True):
            found[unit][target] = term


def run_trees(lm: LM, masks: RowMasks, batch: Sequence[tuple[Tree, int]]) -> list[list[Term]]:
    """Return what is found of every target of each (tree, variant) of a batch.

    In one forward where prompt and branches fit one row, otherwise in one for the prompts and one for what follows.
    """
    found: list[list[Term]] = [[(0.0, False)] * len(tree.targets) for tree, _ in batch]
    plain = lm.kind == "causal" and all(len(tree.feeds) < 2 for tree, _ in batch)
    (_packed if plain or packable(lm) else _cached)(lm, masks, batch, found)
    return found


def _packed(lm: LM, masks: RowMasks, batch: Sequence[tuple[Tree, int]], found: list[list[Term]]) -> None:
    wanted = Wanted()
    for unit, (tree, _) in enumerate(batch):
        start, starts = len(tree.prompt), {_ROOT: len(tree.prompt)}
        for fed, branch in tree.feeds.items():
            starts[branch] = start
            start += len(fed)
        for (branch, at, token), target in tree.targets.items():
            wanted.add((unit, starts[branch] + at), unit, target, token)
    with masks.rows(torch.tensor([variant for _, variant in batch])):
        rows = [(tree.prompt, tuple(tree.feeds)) for tree, _ in batch]
        wanted.fill(found, packed_logits(lm, rows, list(wanted.places)))


def _cached(lm: LM, masks: RowMasks, batch: Sequence[tuple[Tree, int]], found: list[list[Term]]) -> None:
    ends, nodes = Wanted(), Wanted()
    rows: list[int] = []
    feeds: list[Tokens] = []
    for unit, (tree, _) in enumerate(batch):
        ends.places[unit, 0] = unit
        for (branch, at, token), target in tree.targets.items():
            if branch == _ROOT:
                ends.add((unit, 0), unit, target, token)
            else:
                nodes.add((len(feeds) + branch, at), unit, target, token)
        rows.extend([unit] * len(tree.feeds))
        feeds.extend(tree.feeds)
    shared = share(lm, [tree.prompt for tree, _ in batch], masks, [variant for _, variant in batch], bool(feeds))
    ends.fill(found, shared.logits)
    if feeds:
        node, at = zip(*nodes.places, strict=True)
        nodes.fill(found, shared.extend(rows, feeds, node, at))
