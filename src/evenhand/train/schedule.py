"""What depends on seed and step alone, so that a training that goes on after a kill does what it would have done."""

from __future__ import annotations

import hashlib
import math

import torch

from evenhand.train.contracts import Recipe


def learning_rate(recipe: Recipe, step: int) -> float:
    """Return the learning rate of the update after `step` steps.

    `cosine` and `linear` are transformers' schedules of these names, whose first step has a rate of 0. `constant` rises
    from lr / (warmup + 1), so that also a training of one step is one.
    """
    warm = recipe.warmup
    if recipe.schedule == "constant":
        return recipe.lr * min(1.0, (step + 1) / (warm + 1))
    if step < warm:
        return recipe.lr * step / warm
    done = (step - warm) / max(1, recipe.steps - warm)
    return recipe.lr * (1 - done if recipe.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2)


def seed_of(seed: int, what: str, step: int) -> int:
    """Return a seed for one purpose at one step."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{what}:{step}".encode()).digest()[:7])


def drawn(count: int, size: int, step: int, seed: int) -> list[int]:
    """Return which of `count` items batch number `step` of `size` holds; each once per pass, every pass in a new order.

    A batch may end one pass and begin the next.
    """
    orders: dict[int, list[int]] = {}
    for turn in {place // count for place in range(step * size, (step + 1) * size)}:
        generator = torch.Generator().manual_seed(seed_of(seed, "order", turn))
        orders[turn] = torch.randperm(count, generator=generator).tolist()
    return [orders[place // count][place % count] for place in range(step * size, (step + 1) * size)]
