"""Integrated gradients of one layer: one neuron layer, one step, one sequence, one forward from the embeddings each.

Slow and obvious. The outcome is a plain function of the full logits; torch differentiates it with respect to the whole
of what goes into the writer, of which only the given places are moved. Nothing is padded, batched, frozen or gathered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evenhand.lm.attribution.rows import Row
from evenhand.lm.model import LM


def row_outcome(lm: LM, row: Row) -> Tensor:
    """Σ weight · log p(target) of one sequence."""
    given: dict[str, Any] = {"input_ids": torch.tensor([row.ids])}
    if row.decoder:
        given["decoder_input_ids"] = torch.tensor([row.decoder])
    logp = lm.model(**given).logits[0].log_softmax(-1)
    return sum((t.weight * logp[t.position, t.token] for t in row.targets), torch.tensor(0.0))


def case_outcome(lm: LM, rows: Sequence[Row], probability: bool) -> Tensor:
    """The outcome of a case: the sum over its sequences, or its exponential."""
    total = sum((row_outcome(lm, row) for row in rows), torch.tensor(0.0))
    return total.exp() if probability else total


def places(row: Row, stack: str, tokens: str) -> list[int]:
    """Where the path runs: where targets are predicted, or everywhere."""
    length = len(row.decoder) if row.decoder and stack == "decoder" else len(row.ids)
    if tokens == "all" or (row.decoder and stack == "encoder"):
        return list(range(length))
    return sorted({t.position for t in row.targets})


def points(rule: str, steps: int) -> list[tuple[float, float]]:
    """(α, weight) of a rule on [0, 1]."""
    if rule == "riemann":
        return [(k / steps, 1 / steps) for k in range(steps)]
    at, weight = np.polynomial.legendre.leggauss(steps)
    return [((1 + float(a)) / 2, float(w) / 2) for a, w in zip(at, weight, strict=True)]


def at_alpha(
    lm: LM, path: str, rows: Sequence[Row], where: Sequence[list[int]], begin: Tensor, alpha: float, probability: bool
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Return the outcome with the writer's input at b + α (w − b), and per sequence its gradient and w there.

    One full forward for each sequence of the case.
    """
    leaves, inputs = [], []
    total = torch.tensor(0.0)
    for row, positions in zip(rows, where, strict=True):

        def hook(module: Any, args: Any, positions: list[int] = positions) -> Any:
            flat = args[0].reshape(-1, args[0].shape[-1])
            whole = flat[positions].detach()
            leaf = (begin + alpha * (whole - begin)).requires_grad_()
            leaves.append(leaf)
            inputs.append(whole)
            moved = flat.clone()
            moved[positions] = leaf
            return (moved.reshape(args[0].shape), *args[1:])

        handle = lm.module(path).register_forward_pre_hook(hook)
        total = total + row_outcome(lm, row)
        handle.remove()
    value = total.exp() if probability else total
    return value.detach(), list(torch.autograd.grad(value, leaves)), inputs


def attribution(
    lm: LM, path: str, stack: str, rows: Sequence[Row], rule: tuple[str, int], tokens: str, begin: Tensor,
    probability: bool,
) -> tuple[Tensor, float]:  # fmt: skip
    """Return Σ over places of (w − b) · Σ_k weight_k ∂F(b + α_k (w − b))/∂w, and the outcome at the baseline."""
    where = [places(row, stack, tokens) for row in rows]
    total = torch.zeros(len(begin), dtype=torch.float64)
    for alpha, weight in points(*rule):
        _, slopes, inputs = at_alpha(lm, path, rows, where, begin, alpha, probability)
        for slope, whole in zip(slopes, inputs, strict=True):
            total += (weight * slope * (whole - begin)).sum(0).double()
    return total, float(at_alpha(lm, path, rows, where, begin, 0.0, probability)[0])
