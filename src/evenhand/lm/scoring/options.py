"""Log-likelihood of answers after a prompt, which is read once for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any

from evenhand.core.progress import Progress
from evenhand.lm.batches.batching import Work, in_batches
from evenhand.lm.batches.logits import fitting
from evenhand.lm.batches.packed import pack, packable, packed_terms
from evenhand.lm.batches.scores import OptionScores, Term, spread
from evenhand.lm.batches.shared import Tokens
from evenhand.lm.batches.trees import Tree, run_trees
from evenhand.lm.batches.variants import RowMasks, Variant
from evenhand.lm.model import LM
from evenhand.lm.tokens import Continuations, check_written, continuations_all, encode_all, scorable, tried

_Places = Sequence[Sequence[tuple[Tree, list[int]]]]
"""For every option of every case its tree and the targets that make up its score."""


class _Forest:
    """Trees by their prompt."""

    def __init__(self) -> None:
        self.trees: dict[Tokens, Tree] = {}

    def add(self, prefix: Tokens, tail: Tokens, first: int) -> tuple[Tree, list[int]]:
        """Return the tree of an answer and its targets there."""
        prefix, tail = prefix + tail[:first], tail[first:]  # answers that change tokens of the prompt keep their own
        tree = self.trees.setdefault(prefix, Tree(prefix))
        return tree, tree.add(tail, 0)


def causal_options(
    lm: LM, texts: Sequence[str], options: Sequence[Sequence[str]], variants: Sequence[Variant | None],
    progress: Progress,
) -> list[list[OptionScores]]:  # fmt: skip
    """Teacher-forced log-likelihood [variant][case] of every option after its text; NaN where one has no score."""
    kept = scorable(lm, continuations_all(lm, texts, options))
    scores = branching(lm, [*kept.values()], "prompt with its longest option", variants, progress)
    return spread(kept, scores, options)


def branching(
    lm: LM, cases: Sequence[Continuations], what: str, variants: Sequence[Variant | None], progress: Progress
) -> list[list[OptionScores]]:
    """Return [variant][case] the scores of what branches off, by a causal model; what is too long has none (NaN).

    In rows that share what cases begin with; models with windows read each prompt once into the cache instead, where
    more than one sequence branches off it.
    """
    lengths = [len(case.prefix) + max(len(tail) for tail in case.tails) - 1 for case in cases]
    short = list(compress(range(len(cases)), fitting(lm, lengths, what)))
    whole = packable(lm)
    rows = [i for i in short if whole or len({tail[:-1] for tail in cases[i].tails}) == 1 or min(cases[i].first) < 0]
    packed = pack([cases[i] for i in rows], alike=whole)
    found = [dict(zip(rows, few, strict=True)) for few in packed_terms(lm, packed, variants, progress)]
    forest, cached = _Forest(), [i for i in short if i not in set(rows)]
    places = [
        [forest.add(cases[i].prefix, tail, at) for tail, at in zip(cases[i].tails, cases[i].first, strict=True)]
        for i in cached
    ]
    for each, few in zip(found, _terms(lm, forest, places, variants, progress), strict=True):
        each.update(zip(cached, few, strict=True))
    for i in set(range(len(cases))) - {*short}:
        for each in found:
            each[i] = [list[Term]() for _ in cases[i].tails]
    return [[OptionScores.of_terms(each[i]) for i in range(len(cases))] for each in found]


def decoder_options(
    lm: LM, texts: Sequence[str], options: Sequence[Sequence[str]], variants: Sequence[Variant | None],
    progress: Progress,
) -> list[list[OptionScores]]:  # fmt: skip
    """Log-likelihood [variant][case] of every option as the whole of what the decoder says, without its end token.

    NaN where an option of the case has no score.
    """
    forest = _Forest()
    prompts = [encoded.ids for encoded in encode_all(lm, texts)]
    flat = [option for few in options for option in few]
    out: Any = lm.tokenizer(flat, add_special_tokens=False, verbose=False)
    ids: Iterator[list[int]] = iter(out["input_ids"])
    answers = [[tuple(next(ids)) for _ in few] for few in options]
    kept = scorable(lm, [tried(_written, lm, *each) for each in zip(options, answers, strict=True)])
    places = [[forest.add(prompts[i], tokens, 0) for tokens in few] for i, few in kept.items()]
    found = _terms(lm, forest, places, variants, progress)
    return spread(kept, [[OptionScores.of_terms(terms) for terms in few] for few in found], options)


def _written(lm: LM, options: Sequence[str], answers: Sequence[Tokens]) -> Sequence[Tokens]:
    for option, tokens in zip(options, answers, strict=True):
        check_written(lm, option, tokens)
    return answers


def _terms(
    lm: LM, forest: _Forest, places: _Places, variants: Sequence[Variant | None], progress: Progress
) -> list[list[list[list[Term]]]]:
    """Run the trees; return [variant][case][option][token] what is found, nothing of a tree that is too long."""
    masks, trees = RowMasks(lm, variants), list(forest.trees.values())
    short = list(compress(trees, fitting(lm, [tree.longest for tree in trees], "prompt with its longest option")))
    costs = {id(tree): tree.cost() for tree in short}
    units = [(tree, variant) for tree in short for variant in range(len(variants))]
    values: dict[tuple[int, int], list[Term]] = {}

    def run(batch: list[tuple[Tree, int]]) -> None:
        for (tree, variant), found in zip(batch, run_trees(lm, masks, batch), strict=True):
            values[id(tree), variant] = found

    in_batches(lm, Work(units, lambda unit: costs[id(unit[0])], run), progress)

    def of(tree: Tree, targets: list[int], variant: int) -> list[Term]:
        found = values.get((id(tree), variant))
        return [found[target] for target in targets] if found else []

    return [[[of(tree, targets, v) for tree, targets in case] for case in places] for v in range(len(variants))]
