"""The published ways of locating units, written down plainly: what `benchmarks/locate.py` sets ours against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from evenhand.core.case import Case
from evenhand.core.component import Layout, Site
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.rows import Row
from evenhand.lm.model import LM

PAIR = (17, 23)
"""The two tokens whose log-probabilities are contrasted."""


def two_passes(lm: LM, scenario: Scenario, layout: Layout, frozen: bool) -> Tensor:
    """CRISPR, clamp per question, no weight, batches of 4: all options, then ŷ, then y; every map hooked."""
    lm.model.requires_grad_(not frozen)
    if frozen:
        lm.model.enable_input_require_grads()
    total = torch.zeros(layout.size, dtype=torch.float64)
    for start in range(0, len(scenario.cases), 4):
        cases = scenario.cases[start : start + 4]
        with torch.no_grad():
            scores = torch.stack([log_p(lm, cases, [c.options[k] for c in cases])[0] for k in range(3)], 1)
        wrong = scores[:, 1:].argmax(1) + 1
        sides = [
            [c.options[int(k)] for c, k in zip(cases, ids, strict=True)] for ids in (wrong, torch.zeros_like(wrong))
        ]
        hat, right = (one_pass(lm, cases, options, layout) for options in sides)
        total += (hat - right.clamp(min=0)).sum(0).double()
    if frozen:
        lm.model.disable_input_require_grads()
    lm.model.requires_grad_(True)
    return total


def log_p(lm: LM, cases: Sequence[Case], options: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
    """Log-likelihood of an option each, and which positions of the encoder and the decoder hold tokens."""
    source = lm.tokenizer([case.prompt for case in cases], return_tensors="pt", padding=True)
    ids = [lm.tokenizer(option, add_special_tokens=False)["input_ids"] for option in options]
    longest = max(map(len, ids))
    target = torch.tensor([each + [0] * (longest - len(each)) for each in ids])
    mask = torch.tensor([[1] * len(each) + [0] * (longest - len(each)) for each in ids])
    begin = torch.cat([torch.zeros(len(ids), 1, dtype=torch.long), target[:, :-1]], 1)
    logits = lm.model(
        input_ids=source["input_ids"], attention_mask=source["attention_mask"], decoder_input_ids=begin,
        decoder_attention_mask=mask, use_cache=False,
    ).logits  # fmt: skip
    each = logits.log_softmax(-1).gather(2, target[:, :, None])[:, :, 0]
    return (each * mask).sum(1), source["attention_mask"], mask


def one_pass(lm: LM, cases: Sequence[Case], options: Sequence[str], layout: Layout) -> Tensor:
    """Largest activation × gradient of P(option) over tokens, [case, unit]."""
    outputs: dict[str, Tensor] = {}

    def keeper(site: Site) -> Callable[..., None]:
        def hook(module: Any, args: Any, output: Tensor) -> None:
            output.retain_grad()
            outputs[site.path] = output

        return hook

    handles = [lm.module(site.path).register_forward_hook(keeper(site)) for site in layout.sites]
    logp, source, target = log_p(lm, cases, options)
    logp.exp().sum().backward()
    found: list[Tensor] = []
    for site in layout.sites:
        output = outputs[site.path]
        assert output.grad is not None
        mask = source if (site.sees or site.stack) == "encoder" else target
        found.append((output.detach() * output.grad).masked_fill(mask[:, :, None] == 0, -torch.inf).amax(1))
    for handle in handles:
        handle.remove()
    lm.model.zero_grad()
    return torch.cat(found, 1)


def generate(lm: LM, case: Case) -> Tensor:
    """Answer greedily with as many tokens as the longest option has, which a random model would not end by itself."""
    source = lm.tokenizer(case.prompt, return_tensors="pt")
    longest = max(len(lm.tokenizer(option, add_special_tokens=False)["input_ids"]) for option in case.options)
    with torch.no_grad():
        return lm.model.generate(**source, max_new_tokens=longest, min_new_tokens=longest, do_sample=False)


@torch.no_grad()
def softmax_loop(lm: LM, row: Row, units: Sequence[int] | None) -> list[Tensor]:
    """Per layer what neurons add to the contrast, each by two log-softmaxes over the vocabulary; None: all at once."""
    body, inputs, streams = lm.model.model, {}, {}
    handles = [
        block.mlp.down_proj.register_forward_pre_hook(lambda m, a, n=n: inputs.update({n: a[0][0, -1]}))
        for n, block in enumerate(body.layers)
    ]
    handles += [
        block.post_attention_layernorm.register_forward_pre_hook(lambda m, a, n=n: streams.update({n: a[0][0, -1]}))
        for n, block in enumerate(body.layers)
    ]
    handles.append(body.norm.register_forward_pre_hook(lambda m, a: streams.update({-1: a[0][0, -1]})))
    lm.model(input_ids=torch.tensor([row.ids]))
    for handle in handles:
        handle.remove()
    scale = (streams[-1].square().mean() + body.norm.variance_epsilon).rsqrt() * body.norm.weight
    found: list[Tensor] = []
    for n, block in enumerate(body.layers):
        columns, base = block.mlp.down_proj.weight.T, streams[n]
        before = contrast(lm, (base * scale)[None])

        def added(some: Tensor, n: int = n, columns: Tensor = columns, base: Tensor = base) -> Tensor:
            return contrast(lm, (base + inputs[n][some, None] * columns[some]) * scale)

        every = torch.arange(len(columns)).split(2816) if units is None else [torch.tensor([u]) for u in units]
        found.append(torch.cat([added(some) for some in every]) - before)
    return found


def contrast(lm: LM, hidden: Tensor) -> Tensor:
    logp = (hidden @ lm.head.weight.T).log_softmax(-1)
    return logp[:, PAIR[0]] - logp[:, PAIR[1]]


def riemann(lm: LM, row: Row, steps: int) -> Tensor:
    """For each layer the left Riemann sum at the last position: one batch of all steps from the embeddings."""
    found: list[Tensor] = []
    for site in lm.layout("neuron").sites:
        kept: list[Tensor] = []

        def hook(module: Any, args: tuple[Tensor, ...], kept: list[Tensor] = kept) -> tuple[Tensor, ...]:
            whole = args[0][:1, -1].detach()
            kept.append((whole * (torch.arange(steps)[:, None] / steps)).requires_grad_())
            kept.append(whole)
            return (torch.cat([args[0][:, :-1], kept[0][:, None]], 1),)

        handle = lm.module(site.path).register_forward_pre_hook(hook)
        p = lm.model(input_ids=torch.tensor([row.ids] * steps)).logits[:, -1].softmax(-1)[:, PAIR[0]]
        handle.remove()
        (slope,) = torch.autograd.grad(p.sum(), [kept[0]])
        found.append(slope.mean(0) * kept[1][0])
    return torch.cat(found)
