"""Log-likelihood of answers after a shared prompt: the prompt is read once, answers branch off its cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.errors import UsageError
from evenhand.core.progress import Progress
from evenhand.lm.batching import Cost, Work, in_batches
from evenhand.lm.logits import check_length, log_likelihood
from evenhand.lm.model import LM
from evenhand.lm.shared import Tokens, share
from evenhand.lm.tokens import check_known, continuations_all, encode_all
from evenhand.lm.variants import RowMasks, Variant

_HELD = 8
"""Tokens held in a cache that take as much of the budget as one that is forwarded."""
_ROOT = -1
"""Branch number of the prompt itself, whose last token predicts the first token of an answer."""


@dataclass(slots=True)
class _Tree:
    """A prompt, what is fed after it, and the tokens wanted: (branch, position in it, token); −1 is its start."""

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

    def cost(self) -> Cost:
        tail = max((len(feed) for feed in self.feeds), default=0)
        ends = len({(branch, at) for branch, at, _ in self.targets})
        length, branches = len(self.prompt) + tail, len(self.feeds)
        if branches < 2:
            return Cost(length, 1.0, 1 + ends)
        forwarded, held = length + branches * tail, length * (1 + branches)
        return Cost(length, max(forwarded, held / _HELD) / length, 1 + ends)


class _Forest:
    """Trees by their prompt, and for each answer the tree and the targets in it that make up its score."""

    def __init__(self) -> None:
        self.trees: dict[Tokens, _Tree] = {}

    def add(self, prefix: Tokens, tail: Tokens, first: int) -> tuple[_Tree, list[int]]:
        if not prefix:  # the answers change the very first token of the prompt: each keeps its own prompt
            prefix, tail, first = tail[:first], tail[first:], 0
        tree = self.trees.setdefault(prefix, _Tree(prefix))
        return tree, tree.add(tail, first)


def causal_options(
    lm: LM, texts: Sequence[str], options: Sequence[Sequence[str]], variants: Sequence[Variant | None],
    progress: Progress,
) -> list[list[Float[Tensor, " opt"]]]:  # fmt: skip
    """Teacher-forced log-likelihood [variant][case] of every option after its text, float64, nats."""
    forest = _Forest()
    places = [
        [forest.add(c.prefix, tail, first) for tail, first in zip(c.tails, c.first, strict=True)]
        for c in continuations_all(lm, texts, options)
    ]
    return _score(lm, forest, places, variants, progress)


def decoder_options(
    lm: LM, texts: Sequence[str], options: Sequence[Sequence[str]], variants: Sequence[Variant | None],
    progress: Progress,
) -> list[list[Float[Tensor, " opt"]]]:  # fmt: skip
    """Log-likelihood [variant][case] of every option as the whole of what the decoder says, without its end token."""
    forest = _Forest()
    prompts = [encoded.ids for encoded in encode_all(lm, texts)]
    flat = [option for few in options for option in few]
    out: Any = lm.tokenizer(flat, add_special_tokens=False, verbose=False)
    ids: Iterator[list[int]] = iter(out["input_ids"])
    places: list[list[tuple[_Tree, list[int]]]] = []
    for prompt, few in zip(prompts, options, strict=True):
        places.append([])
        for option in few:
            tokens = tuple(next(ids))
            if not tokens:
                raise UsageError(f"option {option!r} has no tokens; every option needs text to score")
            check_known(lm, option, tokens)
            places[-1].append(forest.add(prompt, tokens, 0))
    return _score(lm, forest, places, variants, progress)


def _score(
    lm: LM, forest: _Forest, places: Sequence[Sequence[tuple[_Tree, list[int]]]],
    variants: Sequence[Variant | None], progress: Progress,
) -> list[list[Float[Tensor, " opt"]]]:  # fmt: skip
    masks = RowMasks(lm, variants)
    trees = list(forest.trees.values())
    costs = {id(tree): tree.cost() for tree in trees}
    for cost in costs.values():
        check_length(lm, cost.length, "a prompt with its longest option")
    units = [(tree, variant) for tree in trees for variant in range(len(variants))]
    values: dict[tuple[int, int], list[float]] = {}

    def run(batch: list[tuple[_Tree, int]]) -> None:
        for (tree, variant), found in zip(batch, _batch(lm, masks, batch), strict=True):
            values[id(tree), variant] = found

    in_batches(lm, Work(units, lambda unit: costs[id(unit[0])], run), progress)

    def total(tree: _Tree, variant: int, targets: list[int]) -> float:
        return sum(values[id(tree), variant][target] for target in targets)

    return [
        [torch.tensor([total(t, v, w) for t, w in answers], dtype=torch.float64) for answers in places]
        for v in range(len(variants))
    ]


def _batch(lm: LM, masks: RowMasks, batch: list[tuple[_Tree, int]]) -> list[list[float]]:
    """Return the log-likelihood of every target of every tree of a batch: one forward, and one more for branches.

    A tree with a single branch is a plain sequence: it is read in one go, and its prompt is not held.
    """
    sole = [next(iter(tree.feeds)) if lm.kind == "causal" and len(tree.feeds) == 1 else () for tree, _ in batch]
    ends, nodes = _Wanted(), _Wanted()
    rows: list[int] = []
    feeds: list[Tokens] = []
    for unit, (tree, _) in enumerate(batch):
        for (branch, at, token), target in tree.targets.items():
            if branch == _ROOT or sole[unit]:
                ends.add((unit, len(sole[unit]) - 1 - at if lm.kind == "causal" else 0), unit, target, token)
            else:
                nodes.add((len(feeds) + branch, at), unit, target, token)
        if not sole[unit]:
            rows.extend([unit] * len(tree.feeds))
            feeds.extend(tree.feeds)
    prompts = [tree.prompt + fed for (tree, _), fed in zip(batch, sole, strict=True)]
    found = [[0.0] * len(tree.targets) for tree, _ in batch]
    shared = share(lm, prompts, masks, [variant for _, variant in batch], bool(feeds), list(ends.places))
    ends.fill(found, shared.logits)
    if feeds:
        nodes.fill(
            found, shared.extend(rows, feeds, [node for node, _ in nodes.places], [at for _, at in nodes.places])
        )
    return found


class _Wanted:
    """Places whose logits are computed, once each, and the tokens looked up in them."""

    def __init__(self) -> None:
        self.places: dict[tuple[int, int], int] = {}
        self.tokens: list[tuple[int, int, int, int]] = []

    def add(self, place: tuple[int, int], unit: int, target: int, token: int) -> None:
        self.tokens.append((unit, target, self.places.setdefault(place, len(self.places)), token))

    def fill(self, found: list[list[float]], logits: Float[Tensor, "k vocab"]) -> None:
        """Put log p of each token into its (unit, target)."""
        if not self.tokens:
            return
        _, _, row, token = (torch.tensor(column) for column in zip(*self.tokens, strict=True))
        values = cast("list[float]", log_likelihood(logits, row, token).tolist())
        for (unit, target, _, _), value in zip(self.tokens, values, strict=True):
            found[unit][target] = value
