"""Scores of units and the sets taken from them, one sequence, one layer and one unit at a time; causal models only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from evenhand.core.case import Case
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.attention import eager
from evenhand.lm.model import LM
from oracles.gates import option_logp, writer_inputs

Scores = list[list[float]]
"""By layer and unit."""
Units = set[tuple[int, int]]
"""(layer, unit)."""


def with_answer(lm: LM, case: Case) -> tuple[list[int], list[int], list[int]]:
    """Tokens of a prompt followed by its likeliest option; places of the name's tokens, and of the answer's."""
    with torch.no_grad():
        best = max(case.options, key=lambda option: float(option_logp(lm, case.prompt, option)))
    out = lm.tokenizer(case.prompt + best, return_offsets_mapping=True)
    at, end = case.prompt.index(case.name), len(case.prompt)
    name = [i for i, (a, b) in enumerate(out["offset_mapping"]) if a < at + len(case.name) and b > at]
    return out["input_ids"], name, [i for i, (_, b) in enumerate(out["offset_mapping"]) if b > end]


def neuron_scores(lm: LM, cases: tuple[Case, ...], mode: str, own_answer: bool) -> Scores:
    """Length of a neuron's writer column times its mean size (paper), or its norm per prompt (the authors' code)."""
    layout = lm.layout("neuron")
    seen = []
    for case in cases:
        ids, _, answer = with_answer(lm, case)
        seen.append(writer_inputs(lm, layout, input_ids=torch.tensor([ids if own_answer else ids[: answer[0]]])))
    found: Scores = []
    for site in layout.sites:
        weight = lm.module(site.path).weight.detach()
        found.append([])
        for n in range(site.units):
            length = float(weight[:, n].norm())
            sizes = [inputs[site.path][:, n].abs() for inputs in seen]
            if mode == "paper":
                found[-1].append(length * sum(float(a.mean()) for a in sizes) / len(cases))
            else:
                found[-1].append(length * (sum(float(a.square().sum()) for a in sizes) / len(cases)) ** 0.5)
    return found


def head_scores(lm: LM, cases: tuple[Case, ...], reduce: str, positions: str) -> Scores:
    """Attention to the name from what follows it in the prompt, or from where the answer is generated."""
    total = torch.zeros(len(lm.layout("head").sites), lm.layout("head").sites[0].units)
    for case in cases:
        ids, name, answer = with_answer(lm, case)
        with eager(lm), torch.no_grad():
            maps = lm.model(input_ids=torch.tensor([ids]), output_attentions=True).attentions
        looking = [i - 1 for i in answer] if positions == "generation" else list(range(name[-1] + 1, answer[0]))
        for layer, weights in enumerate(maps):
            for head in range(weights.shape[1]):
                each = [float(weights[0, head, i, j]) for i in looking for j in name]
                total[layer, head] += max(each) if reduce == "max" else sum(each) / len(each)
    return (total / len(cases)).tolist()


def highest(scores: Scores, count: int) -> Units:
    """The highest units of all layers together."""
    every = [(-score, layer, unit) for layer, row in enumerate(scores) for unit, score in enumerate(row)]
    return {(layer, unit) for _, layer, unit in sorted(every)[:count]}


def highest_in_each(scores: Scores, share: float) -> Units:
    """The highest units of every layer."""
    return {(layer, unit) for layer, row in enumerate(scores) for _, unit in highest([row], int(share * len(row)))}


def of_group(scenario: Scenario, group: str) -> tuple[Case, ...]:
    """The cases of one group."""
    return tuple(case for case in scenario.cases if case.group == group)


def one_by_one(lm: LM, scenario: Scenario, count: int) -> list[tuple[int, int]]:
    """The authors' loop over heads: the largest sum of the groups' scores goes, then all are scored again."""
    taken: list[tuple[int, int]] = []
    for _ in range(count):
        with without(lm, taken):
            sides = [head_scores(lm, of_group(scenario, group), "mean", "generation") for group in scenario.groups]
        sums = [[sum(pair) for pair in zip(*rows, strict=True)] for rows in zip(*sides, strict=True)]
        left = [(-sums[layer][head], layer, head) for layer in range(len(sums)) for head in range(len(sums[layer]))
                if (layer, head) not in taken]  # fmt: skip
        taken.append(min(left)[1:])
    return taken


@contextmanager
def without(lm: LM, heads: list[tuple[int, int]]) -> Iterator[None]:
    """Put zeros into the columns through which these heads write, and the old numbers back."""
    sites = lm.layout("head").sites
    kept: dict[str, Any] = {site.path: lm.module(site.path).weight.detach().clone() for site in sites}
    with torch.no_grad():
        for layer, head in heads:
            width = sites[layer].width
            lm.module(sites[layer].path).weight[:, head * width : (head + 1) * width] = 0
    yield
    with torch.no_grad():
        for path, weight in kept.items():
            lm.module(path).weight.copy_(weight)
