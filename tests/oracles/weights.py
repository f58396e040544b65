"""Scores of single weights written out: one sequence at a time, every score of a matrix held, gradients by torch."""

from __future__ import annotations

from typing import Any

import torch

from evenhand.core.scenario import Scenario
from evenhand.lm.answers import answer_rows
from evenhand.lm.model import LM
from evenhand.lm.rows import Row, prompt_rows
from oracles.gates import option_logp, writer_inputs

Table = dict[str, torch.Tensor]
"""[out, in] by path."""


def weight(lm: LM, path: str) -> torch.Tensor:
    """A matrix as [out, in]."""
    module: Any = lm.module(path)
    return (module.weight.T if type(module).__name__ == "Conv1D" else module.weight).detach()


def wanda(lm: LM, scenario: Scenario, tokens: str) -> Table:
    """|W| times the root of the summed squares of its inputs per prompt."""
    layout = lm.layout("weight")
    rows = prompt_rows(lm, scenario.cases) if tokens == "prompt" else answer_rows(lm, scenario)
    squares: Table = {}
    for row in rows:
        given: dict[str, Any] = {"input_ids": torch.tensor([row.ids])}
        if row.decoder:
            given["decoder_input_ids"] = torch.tensor([row.decoder])
        inputs = writer_inputs(lm, layout, **given)
        for site in layout.sites:
            x = inputs[site.path][list(row.places(site.sees or site.stack, tokens))]
            squares[site.path] = squares.get(site.path, 0) + x.square().sum(0)  # type: ignore[assignment]
    n = len(scenario.cases)
    return {path: weight(lm, path).abs() * (square / n).sqrt() for path, square in squares.items()}


def prune_set(w: torch.Tensor, minority: torch.Tensor, majority: torch.Tensor, shares: tuple[float, float]) -> Any:
    """The paper's pseudo-code of one matrix, from its weights and the norms of its inputs for both groups."""
    s_min, s_maj = w.abs() * minority, w.abs() * majority

    def kth_largest(scores: torch.Tensor, k: int) -> torch.Tensor:
        return scores.flatten().sort(descending=True).values[k - 1]

    first, second = (int(share * w.numel()) for share in shares)
    return (s_min >= kth_largest(s_min, first)) & ~(s_maj >= kth_largest(s_maj, second))


def snip(lm: LM, scenario: Scenario) -> Table:
    """|W| times the mean over cases of |dL/dW|, by autograd on the weights themselves, one case at a time."""
    sites = lm.layout("weight").sites
    parameters: list[Any] = [lm.module(site.path).weight for site in sites]
    total: Table = {}
    for case in scenario.cases:
        with torch.no_grad():
            best = max(case.options, key=lambda option: float(option_logp(lm, case.prompt, option)))
        rows: list[Row] = answer_rows(lm, scenario.where(lambda c, x=case: c == x))
        loss = -option_logp(lm, case.prompt, best) / sum(len(row.targets) for row in rows)
        for site, parameter, slope in zip(sites, parameters, torch.autograd.grad(loss, parameters), strict=True):
            stored = (slope * parameter.detach()).abs()
            as_out_in = stored.T if type(lm.module(site.path)).__name__ == "Conv1D" else stored
            total[site.path] = total.get(site.path, 0) + as_out_in / len(scenario.cases)  # type: ignore[assignment]
    return total
