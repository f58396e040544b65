"""Every outcome of every prompt in one row each: a prompt followed by the tree of its answers, so that all are exact.

A row holds the prompt and, behind it, one token for every inner node of the tree of answers. A node sees the prompt and
its own ancestors only (a four-dimensional attention mask), so one forward pass gives the probability of every answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from evenhand.planted.world import UseCase, World

NEVER = -1e9
"""Added to attention scores that must not count."""


@dataclass(frozen=True)
class Rows:
    """Prompts with their answer trees, padded; `values`, `place` and `token` describe the answers (opt) of each row."""

    context: tuple[str, ...]
    variation: tuple[str, ...]
    side: Int[Tensor, " case"]
    """0 for the reference group, 1 for the other."""
    ids: Int[Tensor, "case tok"]
    positions: Int[Tensor, "case tok"]
    mask: Float[Tensor, "case 1 tok tok"]
    nodes: Int[Tensor, "case node"]
    """Token position of each node; the first is the end of the prompt."""
    place: Int[Tensor, "case opt depth"]
    """Index into `nodes` of the node before each token of an answer."""
    token: Int[Tensor, "case opt depth"]
    used: Bool[Tensor, "case opt depth"]
    values: Float[Tensor, "case opt"]
    real: Bool[Tensor, "case opt"]
    choice: Bool[Tensor, " case"]

    def where(self, context: str, variation: str | None = None) -> list[int]:
        """Return the rows of a context, or of one of its variations."""
        pairs = enumerate(zip(self.context, self.variation, strict=True))
        return [i for i, (c, v) in pairs if c == context and variation in (None, v)]

    def answers(self, index: Sequence[int], logp: Float[Tensor, "case node vocab"]) -> Float[Tensor, "case opt"]:
        """Return the log-probability of each answer from log-probabilities at the nodes; -inf where there is none.

        Those of a choice are normalised over its options.
        """
        rows = torch.arange(len(index))[:, None, None]
        steps = logp[rows, self.place[index], self.token[index]] * self.used[index]
        total = steps.sum(-1).masked_fill(~self.real[index], -torch.inf)
        return torch.where(self.choice[index][:, None], total.log_softmax(-1), total)


@dataclass(frozen=True)
class _Tree:
    """Inner nodes (token, parent, depth) of the answers of a use case, and per answer its (node, token) steps."""

    nodes: list[tuple[int, int, int]]
    steps: list[list[tuple[int, int]]]


def _tree(answers: Sequence[Sequence[int]]) -> _Tree:
    nodes: list[tuple[int, int, int]] = [(-1, -1, 0)]
    known: dict[tuple[int, ...], int] = {(): 0}
    steps: list[list[tuple[int, int]]] = []
    for answer in answers:
        path: list[tuple[int, int]] = []
        for depth, token in enumerate(answer):
            before = known[tuple(answer[:depth])]
            path.append((before, token))
            through = tuple(answer[: depth + 1])
            if depth + 1 < len(answer) and through not in known:
                known[through] = len(nodes)
                nodes.append((token, before, depth + 1))
        steps.append(path)
    return _Tree(nodes, steps)


def rows_of(world: World, tokenizer: Any) -> Rows:
    """Return the rows of all use cases and all people."""
    parts: list[tuple[UseCase, int, list[int], _Tree]] = []
    for case in world.cases:
        for side, names in enumerate(world.groups.values()):
            for name in names:
                prompt = case.template.format(name=name) + case.prefix
                parts.append((case, side, *_encode(tokenizer, prompt, case)))
    width = max(len(prompt) + len(tree.nodes) - 1 for _, _, prompt, tree in parts)
    count = max(len(tree.nodes) for *_, tree in parts)
    opts, depth = max(len(t.steps) for *_, t in parts), max(len(s) for *_, t in parts for s in t.steps)
    n = len(parts)
    ids, positions = torch.zeros(n, width, dtype=torch.long), torch.zeros(n, width, dtype=torch.long)
    mask, nodes = torch.full((n, 1, width, width), NEVER), torch.zeros(n, count, dtype=torch.long)
    place, token = torch.zeros(n, opts, depth, dtype=torch.long), torch.zeros(n, opts, depth, dtype=torch.long)
    used, values = torch.zeros(n, opts, depth, dtype=torch.bool), torch.zeros(n, opts)
    real = torch.zeros(n, opts, dtype=torch.bool)
    for i, (case, _, prompt, tree) in enumerate(parts):
        _lay_out(prompt, tree, ids[i], positions[i], mask[i, 0], nodes[i])
        for j, path in enumerate(tree.steps):
            place[i, j, : len(path)] = torch.tensor([node for node, _ in path])
            token[i, j, : len(path)] = torch.tensor([t for _, t in path])
            used[i, j, : len(path)] = True
        values[i, : len(case.values)] = torch.tensor(case.values)
        real[i, : len(case.values)] = True
    return Rows(
        tuple(case.context for case, *_ in parts), tuple(case.variation for case, *_ in parts),
        torch.tensor([side for _, side, *_ in parts]), ids, positions, mask, nodes, place, token, used, values, real,
        torch.tensor([case.kind == "choice" for case, *_ in parts]),
    )  # fmt: skip


def _encode(tokenizer: Any, prompt: str, case: UseCase) -> tuple[list[int], _Tree]:
    """Return the tokens of a prompt and the tree of its answers; a number is followed by the end token."""
    start: list[int] = tokenizer(prompt)["input_ids"]
    answers: list[list[int]] = []
    for outcome in case.outcomes:
        whole: list[int] = tokenizer(prompt + outcome)["input_ids"]
        end = [] if case.kind == "choice" else [int(tokenizer.eos_token_id)]
        answers.append([*whole[len(start) :], *end])
    return start, _tree(answers)


def _lay_out(
    prompt: list[int],
    tree: _Tree,
    ids: Int[Tensor, " tok"],
    positions: Int[Tensor, " tok"],
    mask: Float[Tensor, "tok tok"],
    nodes: Int[Tensor, " node"],
) -> None:
    """Write one row: the prompt, its nodes, and who sees whom. Padding sees itself, so that nothing divides by zero."""
    length = len(prompt)
    ids[:length] = torch.tensor(prompt)
    positions[:length] = torch.arange(length)
    mask.fill_diagonal_(0.0)
    mask[:length, :length] = torch.full((length, length), NEVER).triu(1)
    nodes[0] = length - 1
    for i, (token, parent, depth) in enumerate(tree.nodes[1:], start=1):
        at = length - 1 + i
        ids[at], positions[at], nodes[i] = token, length - 1 + depth, at
        mask[at, :length] = 0.0
        while parent > 0:
            mask[at, length - 1 + parent] = 0.0
            parent = tree.nodes[parent][1]
