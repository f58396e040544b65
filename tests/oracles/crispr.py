"""Bias-neuron scores the slow and obvious way: one sequence at a time, ŷ and y separately, parameters with gradients.

Plain forward hooks keep every output and its gradient; the published code's batches are loops over their cases.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Literal

import torch
from torch import Tensor

from evenhand.core.case import Case
from evenhand.core.component import Layout, Site
from evenhand.core.scenario import Scenario
from evenhand.lm.model import LM
from oracles.gates import option_logp


def _end(lm: LM, mode: str) -> int | None:
    return int(lm.tokenizer.eos_token_id) if mode == "code" and lm.kind == "encoder-decoder" else None


def products(lm: LM, layout: Layout, case: Case, option: int, end: int | None) -> tuple[float, list[Tensor]]:
    """Return log P of an option and, per site, output · gradient of it as [position, unit]."""
    outputs: dict[str, Tensor] = {}
    with ExitStack() as hooks, torch.enable_grad():
        for site in layout.sites:

            def keep(module: Any, args: Any, out: Tensor, path: str = site.path) -> None:
                out.retain_grad()
                outputs[path] = out

            hooks.callback(lm.module(site.path).register_forward_hook(keep).remove)
        for parameter in lm.model.parameters():
            parameter.requires_grad_(True)
        value = option_logp(lm, case.prompt, case.options[option], end)
        value.backward()
    lm.model.zero_grad()
    found: list[Tensor] = []
    for site in layout.sites:
        out, slope = outputs[site.path], outputs[site.path].grad
        assert slope is not None, site.path
        product = (out.detach() * slope).reshape(-1, out.shape[-1]).double()  # OPT has no axis of rows in its MLP
        # The option's last token predicts nothing: no score depends on what is said there.
        found.append(product[:-1] if lm.kind == "causal" else product)
    return float(value.detach()), found


def wrong_option(lm: LM, case: Case, end: int | None) -> int:
    """Return the most probable option that is not the right one."""
    with torch.no_grad():
        logp = [float(option_logp(lm, case.prompt, option, end)) for option in case.options]
    return max((i for i in range(len(logp)) if i != case.favourable), key=lambda i: logp[i])


def _maxima(terms: list[Tensor]) -> Tensor:
    return torch.cat([each.amax(0) for each in terms])


def paper(lm: LM, scenario: Scenario, layout: Layout) -> Tensor:
    """Formulas (1) to (6): cut at every token, α once on B, sum over cases, mean over instructions."""
    instructions = sorted({case.variation for case in scenario.cases})
    total = torch.zeros(layout.size, dtype=torch.float64)
    for case in scenario.cases:
        assert case.favourable is not None
        log_wrong, wrong = products(lm, layout, case, wrong_option(lm, case, None), None)
        log_right, right = products(lm, layout, case, case.favourable, None)
        p_wrong, p_right = torch.tensor([log_wrong, log_right]).double().exp()
        kept: list[Tensor] = []
        for away, towards in zip(wrong, right, strict=True):
            values = torch.full_like(away, -torch.inf)
            for t in range(len(away)):
                skill = (p_right * towards[t]).clamp(min=0) if t < len(towards) else torch.zeros_like(away[t])
                values[t] = p_wrong * away[t] - skill
            kept.append(values)
        total += p_wrong * _maxima(kept)
    return total / len(instructions)


def code(lm: LM, scenario: Scenario, layout: Layout, batch_size: int) -> Tensor:
    """As published: log P with the end token, α on both terms, maxima apart, cut once for a batch, mean over cases."""
    instructions = sorted({case.variation for case in scenario.cases})
    scores: list[Tensor] = []
    for name in instructions:
        cases = [case for case in scenario.cases if case.variation == name]
        net = torch.zeros(layout.size, dtype=torch.float64)
        for start in range(0, len(cases), batch_size):
            bias, skill = torch.zeros_like(net), torch.zeros_like(net)
            for case in cases[start : start + batch_size]:
                assert case.favourable is not None
                end = _end(lm, "code")
                log_wrong, wrong = products(lm, layout, case, wrong_option(lm, case, end), end)
                _, right = products(lm, layout, case, case.favourable, end)
                alpha = torch.tensor(log_wrong).double().exp()
                bias += alpha * _maxima(wrong)
                skill += alpha * _maxima(right)
            net += bias - skill.clamp(min=0)
        scores.append(net / len(cases))
    return torch.stack(scores).mean(0)


def weight_gradient_sums(lm: LM, layout: Layout, case: Case, option: int) -> Tensor:
    """Return Σ over tokens of output · gradient without any hook: (W ∘ dW) summed over each row, + b · db."""
    lm.model.zero_grad()
    for parameter in lm.model.parameters():
        parameter.requires_grad_(True)
    with torch.enable_grad():
        option_logp(lm, case.prompt, case.options[option]).backward()

    def row_sums(site: Site) -> Tensor:
        module: Any = lm.module(site.path)
        stored = (module.weight.detach() * module.weight.grad).double()
        sums = stored.sum(0 if type(module).__name__ == "Conv1D" else 1)
        return sums if getattr(module, "bias", None) is None else sums + module.bias.detach() * module.bias.grad

    found = torch.cat([row_sums(site) for site in layout.sites])
    lm.model.zero_grad()
    return found


Mode = Literal["paper", "code"]
