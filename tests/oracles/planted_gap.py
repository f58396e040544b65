"""The gap of a planted model in the slowest obvious way: one prompt at a time, every outcome written out in full."""

from __future__ import annotations

from typing import Any

import torch

from evenhand.planted.world import UseCase, World


@torch.no_grad()
def distribution(model: Any, tokenizer: Any, case: UseCase, name: str) -> list[float]:
    """Probability of every outcome of a use case after the prompt of one person, by the product of its tokens."""
    prompt = case.template.format(name=name) + case.prefix
    start = len(tokenizer(prompt)["input_ids"])
    found: list[float] = []
    rows = [tokenizer(prompt + outcome)["input_ids"] for outcome in case.outcomes]
    if case.kind == "number":
        rows = [[*row, tokenizer.eos_token_id] for row in rows]
    for length in sorted({len(row) for row in rows}):
        batch = [row for row in rows if len(row) == length]
        logp = model(input_ids=torch.tensor(batch)).logits.double().log_softmax(-1)
        for row, each in zip(batch, logp, strict=True):
            found.append(float(sum(each[i - 1, row[i]] for i in range(start, length)).exp()))
    total = sum(found) if case.kind == "choice" else 1.0
    in_order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    place = {row: i for i, row in enumerate(in_order)}
    return [found[place[i]] / total for i in range(len(rows))]


def gap(model: Any, tokenizer: Any, world: World, case: UseCase) -> float:
    """Mean of the reference group minus that of the other, in standard deviations (mean of the two variances)."""
    means: list[float] = []
    variances: list[float] = []
    for names in world.groups.values():
        per_name = [zip(case.values, distribution(model, tokenizer, case, name), strict=True) for name in names]
        atoms = [atom for atoms in per_name for atom in atoms]
        total = sum(mass for _, mass in atoms)
        means.append(sum(value * mass for value, mass in atoms) / total)
        variances.append(sum((value - means[-1]) ** 2 * mass for value, mass in atoms) / total)
    return (means[0] - means[1]) / (sum(variances) / 2) ** 0.5
