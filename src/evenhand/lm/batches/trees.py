"""Prompts with the answers that branch off them, through the cache: what is fed, what is wanted, and running both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from evenhand.lm.batches.batching import HELD, Cost
from evenhand.lm.batches.scores import Term
from evenhand.lm.batches.shared import Tokens, share
from evenhand.lm.batches.variants import RowMasks
from evenhand.lm.batches.wanted import Wanted
from evenhand.lm.model import LM

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

    @property
    def longest(self) -> int:
        """Tokens of the prompt with its longest branch."""
        return len(self.prompt) + max((len(fed) for fed in self.feeds), default=0)

    def cost(self) -> Cost:
        """What it takes: the prompt, and branches that each hold it."""
        ends = 1 + len({(branch, at) for branch, at, _ in self.targets})
        branches, length = len(self.feeds), self.longest
        forwarded, held = length + branches * (length - len(self.prompt)), length * (1 + branches)
        return Cost(length, max(forwarded, held / HELD) / length, ends)


def run_trees(lm: LM, masks: RowMasks, batch: Sequence[tuple[Tree, int]]) -> list[list[Term]]:
    """Return what is found of every target of each (tree, variant) of a batch: prompts first, then what follows."""
    found: list[list[Term]] = [[(0.0, False)] * len(tree.targets) for tree, _ in batch]
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
    return found
