"""The exact probability of every number a model may answer with: best-first search over the tokens of numerals.

Different token paths are disjoint events, so every tokenisation of a number counts. What a text must look like is
defined in `evenhand.core.numeral`. Found, not-a-number and open (not searched) mass add up to 1; `found` is a lower
bound, and the true probability of a value lies between its mass and its mass + open.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.progress import Progress, silent
from evenhand.lm.batches.prefix import Prefix
from evenhand.lm.batches.shared import Tokens
from evenhand.lm.batches.variants import Variant
from evenhand.lm.generation.numeral_tree import Limits, Node, Tree, expand
from evenhand.lm.generation.sampling import Sampling
from evenhand.lm.model import LM
from evenhand.lm.vocabulary import Vocabulary, check_spells_numbers, vocabulary

_NODES_AT_ONCE = 128
_LOGITS_HELD = 1 << 26
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Numbers:
    """The distribution of the number that answers one prompt."""

    values: Float[Tensor, " value"]
    """Ascending."""
    masses: Float[Tensor, " value"]
    not_number: float
    open: float
    nodes: int
    open_share: float = 0.01

    @property
    def found(self) -> float:
        """Probability that the answer starts with one of `values`."""
        return float(self.masses.sum())

    @property
    def defined(self) -> bool:
        """Whether so little is open that mean and spread can be told."""
        return self.found > 0 and self.open <= self.open_share * (self.found + self.open)

    @property
    def mean(self) -> float:
        """Mean of the found numbers; NaN while too much is open."""
        return float((self.values * self.masses).sum() / self.found) if self.defined else math.nan

    @property
    def sd(self) -> float:
        """Standard deviation of the found numbers; NaN while too much is open."""
        if not self.defined:
            return math.nan
        return math.sqrt(float(((self.values - self.mean) ** 2 * self.masses).sum() / self.found))

    def quantile_interval(self, q: float) -> tuple[float, float]:
        """Return the lowest and highest value that the `q` quantile of the answered numbers can have.

        The open mass may lie anywhere, or be no number; the ends are infinite where it decides, NaN without any mass.
        """
        total = self.found + self.open
        if total <= 0:
            return math.nan, math.nan
        reached = self.masses.cumsum(0)
        return self._first(reached + self.open, q * total, -math.inf), self._first(reached, q * total, math.inf)

    def _first(self, reached: Float[Tensor, " value"], goal: float, outside: float) -> float:
        """Value at which `reached` comes to `goal`; `outside` when the open mass alone decides."""
        if outside < 0 and self.open >= goal - _ROUNDING and self.open > _ROUNDING:
            return outside
        index = int((reached < goal - _ROUNDING).sum())
        return float(self.values[index]) if index < len(self.values) else outside


def exact(
    lm: LM,
    prompts: Sequence[Tokens],
    variants: Sequence[Variant | None] | None = None,
    limits: Limits = Limits(),
    sampling: Sampling = Sampling(),
    progress: Progress = silent,
) -> list[Numbers]:
    """Return the numbers each prompt may be answered with, row i as `variants[i]`.

    Temperature and top_p of `sampling` shape the distribution just as they shape samples. Raises CannotRun for masked
    models, tokenizers that cannot spell numbers, and models whose output is not finite.
    """
    check_spells_numbers(lm)
    known = vocabulary(lm)
    per_row = [None] * len(prompts) if variants is None else list(variants)
    results: dict[int, Numbers] = {}
    for rows in _chunks(lm, prompts, len(known.texts)):
        prefix = Prefix.open(lm, [prompts[row] for row in rows], [per_row[row] for row in rows])
        tell = _Told(progress, len(results), len(prompts))
        results |= dict(zip(rows, _search(prefix, known, limits, sampling, tell), strict=True))
    return [results[row] for row in range(len(prompts))]


def _chunks(lm: LM, prompts: Sequence[Tokens], vocab: int) -> list[list[int]]:
    """Prompts of similar length together, as many as one budget of tokens and a fixed number of logits allow."""
    chunks: list[list[int]] = []
    for row in sorted(range(len(prompts)), key=lambda i: -len(prompts[i])):
        longest = len(prompts[chunks[-1][0]]) if chunks else 0
        rows = len(chunks[-1]) + 1 if chunks else 0
        if not chunks or longest * rows > lm.budget or rows * vocab > _LOGITS_HELD:
            chunks.append([])
        chunks[-1].append(row)
    return chunks


@dataclass(frozen=True)
class _Told:
    """Progress over all chunks."""

    progress: Progress
    before: int
    total: int

    def __call__(self, done: int) -> None:
        self.progress("numbers", self.before + done, self.total)


def _search(prefix: Prefix, known: Vocabulary, limits: Limits, sampling: Sampling, tell: _Told) -> list[Numbers]:
    trees = [Tree(row, limits) for row in range(len(prefix.logp))]
    for start in range(0, len(trees), _NODES_AT_ONCE):
        some = slice(start, start + _NODES_AT_ONCE)
        expand([tree.root() for tree in trees[some]], prefix.logp[some], known, sampling)
    active = deque(trees)
    while active:
        nodes: list[Node] = []
        for _ in range(len(active)):
            tree = active.popleft()
            nodes.extend(taken := tree.take(known.texts))
            if taken:
                active.append(tree)
            if len(nodes) >= _NODES_AT_ONCE:
                break
        if nodes:
            logp = prefix.extend([node.tree.row for node in nodes], [node.tail for node in nodes])
            expand(nodes, logp, known, sampling)
        tell(len(trees) - len(active))
    return [_result(tree) for tree in trees]


def _result(tree: Tree) -> Numbers:
    values = sorted(tree.found)
    masses = torch.tensor([tree.found[value] for value in values], dtype=torch.float64)
    where = torch.tensor(values, dtype=torch.float64)
    return Numbers(where, masses, tree.not_number, tree.left(), tree.nodes, tree.limits.open_share)
