"""The search tree of numerals after one prompt, and the expansion of many of its nodes at once."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.errors import CannotRun
from evenhand.core.numeral import START, Ended, Move, Rejected, State, advance, apply
from evenhand.lm.batches.shared import Tokens
from evenhand.lm.generation.sampling import Sampling, distribution
from evenhand.lm.vocabulary import Vocabulary

_DUST = 1e-12
"""Values with less mass are not listed; their mass counts as open."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When the search of one prompt stops: open ≤ `open_share` · (found + open), or open ≤ `floor`, or a limit."""

    open_share: float = 0.01
    nodes: int = 256
    tokens: int = 16
    floor: float = 1e-6


@dataclass(frozen=True, eq=False, slots=True)
class Children:
    """The undecided continuations of one node, likeliest first."""

    state: State
    tail: Tokens
    masses: list[float]
    tokens: list[int]


@dataclass(eq=False)
class Tree:
    """The search of one prompt: a queue of unexpanded nodes, of which each family shows only its likeliest."""

    row: int
    limits: Limits
    found: dict[float, float] = field(default_factory=dict[float, float])
    numeric: float = 0.0
    """Sum of `found`."""
    not_number: float = 0.0
    shut: float = 0.0
    """Open mass that will not be searched: too long, or too small to list."""
    waiting: float = 0.0
    """Open mass that may be searched."""
    nodes: int = 0
    queue: list[tuple[float, int, Children, int]] = field(default_factory=list[tuple[float, int, Children, int]])
    ticket: itertools.count[int] = field(default_factory=itertools.count)

    def root(self) -> Node:
        """Begin: nothing is decided."""
        self.waiting, self.nodes = 1.0, 1
        return Node(self, START, (), 1.0)

    def wanted(self, promised: float = 0.0) -> bool:
        """Whether more must be expanded, when `promised` of the open mass is being expanded already."""
        open_ = self.waiting + self.shut - promised
        enough = max(self.limits.floor, self.limits.open_share * (self.numeric + self.waiting + self.shut))
        return bool(self.queue) and open_ > enough and self.nodes < self.limits.nodes

    def add(self, children: Children, rank: int = 0) -> None:
        """Queue the child of this rank; the next one follows when it is taken."""
        if rank < len(children.masses):
            heapq.heappush(self.queue, (-children.masses[rank], next(self.ticket), children, rank))

    def count(self, result: State | Rejected | Ended, mass: float) -> None:
        """Book mass whose meaning is decided."""
        if isinstance(result, Ended):
            self.found[result.value] = self.found.get(result.value, 0.0) + mass
            self.numeric += mass
        else:
            self.not_number += mass

    def take(self, texts: Sequence[str]) -> list[Node]:
        """Take as many of the likeliest nodes as are surely needed."""
        taken: list[Node] = []
        promised = 0.0
        while self.wanted(promised):
            _, _, children, rank = heapq.heappop(self.queue)
            self.add(children, rank + 1)
            mass, token = children.masses[rank], children.tokens[rank]
            state, tail = advance(children.state, texts[token]), (*children.tail, token)
            if not isinstance(state, State):
                self.waiting -= mass
                self.count(state, mass)
            elif len(tail) > self.limits.tokens:
                self.waiting -= mass
                self.shut += mass
            else:
                taken.append(Node(self, state, tail, mass))
                self.nodes += 1
                promised += mass
        return taken

    def left(self) -> float:
        """Return the open mass, added up from what was never expanded, having checked that all mass is booked once."""
        left = self.shut + sum(sum(children.masses[rank:]) for _, _, children, rank in self.queue)
        total = sum(self.found.values()) + self.not_number + left
        if not abs(total - 1) <= 1e-6:
            raise CannotRun(f"the probabilities after a prompt add up to {total}, not 1; the model's output is broken")
        return left


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """An open prefix of a numeral to be expanded, with its probability."""

    tree: Tree
    state: State
    tail: Tokens
    mass: float


def expand(nodes: Sequence[Node], logp: Float[Tensor, "node vocab"], known: Vocabulary, sampling: Sampling) -> None:
    """Book every token after every node; nodes of one shape are worked on together."""
    if logp.isnan().any():
        raise CannotRun(
            "the model's output is not a number (NaN); an edit may have broken it, or its dtype is too small"
        )
    shapes: dict[str, list[int]] = {}
    for i, node in enumerate(nodes):
        shapes.setdefault(node.state.shape, []).append(i)
    for shape, members in shapes.items():
        _expand_shape([nodes[i] for i in members], distribution(logp[members], sampling), shape, known)


def _expand_shape(nodes: Sequence[Node], p: Float[Tensor, "node vocab"], shape: str, known: Vocabulary) -> None:
    table = known.table(shape, p.device)
    mass = torch.tensor([node.mass for node in nodes], dtype=torch.float64, device=p.device)
    scale = (mass / p.sum(1, dtype=torch.float64))[:, None]
    stopping = torch.zeros(len(nodes), len(table.kinds), dtype=torch.float64, device=p.device)
    stopping.index_add_(1, table.group, p[:, table.others].double() * scale)
    going_on = p[:, table.going_on].double() * scale
    usual = _floats((mass - stopping.sum(1) - going_on.sum(1)).clamp_min(0))
    best = going_on.topk(min(going_on.shape[1], max(256, nodes[0].tree.limits.nodes)), dim=1)
    unlisted = _floats((going_on.sum(1) - best.values.sum(1)).clamp_min(0))
    for i, node in enumerate(nodes):
        tree = node.tree
        tokens = [*map(int, table.going_on[best.indices[i]].cpu().numpy())]
        children = Children(node.state, node.tail, _floats(best.values[i]), tokens)
        tree.waiting += sum(children.masses) - node.mass
        tree.shut += unlisted[i]
        tree.add(children)
        _book(node, table.usual, usual[i])
        for kind, part in zip(table.kinds, _floats(stopping[i]), strict=True):
            _book(node, kind, part)


def _floats(masses: Float[Tensor, " n"]) -> list[float]:
    return [*map(float, masses.cpu().numpy())]


def _book(node: Node, kind: tuple[Move, str], mass: float) -> None:
    """Count the mass of all tokens that do the same to a node."""
    made, text = kind
    if mass < _DUST and not made.rejected:
        node.tree.shut += mass
    else:
        node.tree.count(apply(node.state, text, made), mass)
