"""Log-likelihood of answers after a prompt, which is read once for all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any

import torch

from evenhand.core.errors import UsageError
from evenhand.core.progress import Progress
from evenhand.lm.batching import Work, in_batches
from evenhand.lm.logits import fitting
from evenhand.lm.model import LM
from evenhand.lm.packed import packable
from evenhand.lm.scores import OptionScores
from evenhand.lm.shared import Tokens
from evenhand.lm.tokens import check_known, continuations_all, encode_all
from evenhand.lm.trees import Term, Tree, run_trees
from evenhand.lm.variants import RowMasks, Variant


class _Forest:
    """Trees by their prompt, and for each answer the tree and the targets in it that make up its score."""

    def __init__(self) -> None:
        self.trees: dict[Tokens, Tree] = {}

    def add(self, prefix: Tokens, tail: Tokens, first: int) -> tuple[Tree, list[int]]:
        if not prefix:  # the answers change the very first token of the prompt: each keeps its own prompt
            prefix, tail, first = tail[:first], tail[first:], 0
        tree = self.trees.setdefault(prefix, Tree(prefix))
        return tree, tree.add(tail, first)


def causal_options(
    lm: LM, texts: Sequence[str], options: Sequence[Sequence[str]], variants: Sequence[Variant | None],
    progress: Progress,
) -> list[list[OptionScores]]:  # fmt: skip
    """Teacher-forced log-likelihood [variant][case] of every option after its text."""
    forest = _Forest()
    places = [
        [forest.add(c.prefix, tail, first) for tail, first in zip(c.tails, c.first, strict=True)]
        for c in continuations_all(lm, texts, options)
    ]
    return score_trees(lm, list(forest.trees.values()), places, variants, progress)


def decoder_options(
    lm: LM, texts: Sequence[str], options: Sequence[Sequence[str]], variants: Sequence[Variant | None],
    progress: Progress,
) -> list[list[OptionScores]]:  # fmt: skip
    """Log-likelihood [variant][case] of every option as the whole of what the decoder says, without its end token."""
    forest = _Forest()
    prompts = [encoded.ids for encoded in encode_all(lm, texts)]
    flat = [option for few in options for option in few]
    out: Any = lm.tokenizer(flat, add_special_tokens=False, verbose=False)
    ids: Iterator[list[int]] = iter(out["input_ids"])
    places: list[list[tuple[Tree, list[int]]]] = []
    for prompt, few in zip(prompts, options, strict=True):
        places.append([])
        for option in few:
            tokens = tuple(next(ids))
            if not tokens:
                raise UsageError(f"option {option!r} has no tokens; every option needs text to score")
            check_known(lm, option, tokens)
            places[-1].append(forest.add(prompt, tokens, 0))
    return score_trees(lm, list(forest.trees.values()), places, variants, progress)


def score_trees(
    lm: LM, trees: Sequence[Tree], places: Sequence[Sequence[tuple[Tree, list[int]]]],
    variants: Sequence[Variant | None], progress: Progress,
) -> list[list[OptionScores]]:  # fmt: skip
    """Run the trees; `places` holds for every option of every case its tree and the targets that make up its score.

    A tree that does not fit the model's context leaves its options without a score (NaN).
    """
    masks = RowMasks(lm, variants)
    fits = fitting(lm, [tree.longest for tree in trees], "prompt with its longest option")
    short = list(compress(trees, fits))
    costs = {id(tree): tree.cost(packable(lm)) for tree in short}
    units = [(tree, variant) for tree in short for variant in range(len(variants))]
    values: dict[tuple[int, int], list[Term]] = {}

    def run(batch: list[tuple[Tree, int]]) -> None:
        for (tree, variant), found in zip(batch, run_trees(lm, masks, batch), strict=True):
            values[id(tree), variant] = found

    in_batches(lm, Work(units, lambda unit: costs[id(unit[0])], run), progress)

    def scores(variant: int, answers: Sequence[tuple[Tree, list[int]]]) -> OptionScores:
        found = [(values.get((id(tree), variant)), targets) for tree, targets in answers]
        terms = [[row[target] for target in targets] if row else [] for row, targets in found]
        greedy = [float(all(top for _, top in each)) if each else math.nan for each in terms]
        parts = {"greedy": torch.tensor(greedy, dtype=torch.float64)}
        return OptionScores.of([[logp for logp, _ in each] for each in terms], parts)

    return [[scores(variant, answers) for answers in places] for variant in range(len(variants))]
