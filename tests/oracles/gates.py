"""What a unit adds to an outcome, one case and one sequence at a time: slow and obvious.

Every unit gets a gate of 1 at its writer's input (a row: at its map's output); the outcome is a plain function of the
full logits; torch differentiates it with respect to the gates. Nothing is padded, batched, frozen or gathered.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from evenhand.core.component import Layout
from evenhand.core.scenario import Scenario
from evenhand.lm.model import LM


@contextmanager
def gated(lm: LM, layout: Layout, gates: Tensor) -> Any:
    """Multiply the output of every unit by its gate."""
    with ExitStack() as stack:
        for site, gate in layout.split(gates):
            columns = gate.repeat_interleave(site.width)

            def hook(module: Any, args: Any, columns: Tensor = columns) -> Any:
                return (args[0] * columns.to(args[0].dtype), *args[1:])

            def after(module: Any, args: Any, output: Tensor, columns: Tensor = columns) -> Any:
                return output * columns.to(output.dtype)

            module = lm.module(site.path)
            row = layout.space == "row"
            handle = module.register_forward_hook(after) if row else module.register_forward_pre_hook(hook)
            stack.callback(handle.remove)
        yield


def gate_gradient(lm: LM, layout: Layout, outcome: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Return an outcome and its derivative with respect to every unit's gate."""
    gates = torch.ones(layout.size, requires_grad=True)
    with gated(lm, layout, gates):
        value = outcome()
    return float(value.detach()), torch.autograd.grad(value, gates)[0].double()


def writer_inputs(lm: LM, layout: Layout, **inputs: Any) -> dict[str, Tensor]:
    """Return what goes into every writer in one plain forward pass of one sequence, as [pos, in]."""
    found: dict[str, Tensor] = {}
    with ExitStack() as stack, torch.no_grad():
        for site in layout.sites:

            def hook(module: Any, args: Any, path: str = site.path) -> None:
                found[path] = args[0].reshape(-1, args[0].shape[-1]).clone()

            stack.callback(lm.module(site.path).register_forward_pre_hook(hook).remove)
        lm.model(**inputs)
    return found


def option_logp(lm: LM, prompt: str, option: str, end: int | None = None) -> Tensor:
    """Log-likelihood of an option after a prompt, from the logits of one unpadded pass (one per token if masked)."""
    tokenizer, model = lm.tokenizer, lm.model
    if lm.kind == "encoder-decoder":
        ids = tokenizer(option, add_special_tokens=False)["input_ids"] + ([] if end is None else [end])
        start = [model.config.decoder_start_token_id]
        source = torch.tensor([tokenizer(prompt)["input_ids"]])
        logits = model(input_ids=source, decoder_input_ids=torch.tensor([start + ids[:-1]])).logits[0]
        return sum((logits[i].log_softmax(-1)[t] for i, t in enumerate(ids)), torch.tensor(0.0))
    out = tokenizer(prompt + option, return_offsets_mapping=True)
    ids = out["input_ids"]
    wanted = [i for i, (a, b) in enumerate(out["offset_mapping"]) if b > len(prompt) and b > a]
    total = torch.tensor(0.0)
    if lm.kind == "masked":
        for i in wanted:
            masked = torch.tensor([[*ids[:i], tokenizer.mask_token_id, *ids[i + 1 :]]])
            total = total + model(input_ids=masked).logits[0, i].log_softmax(-1)[ids[i]]
        return total
    if end is not None:
        wanted, ids = [*wanted, len(ids)], [*ids, end]
    logits = model(input_ids=torch.tensor([ids])).logits[0]
    return sum((logits[i - 1].log_softmax(-1)[ids[i]] for i in wanted), total)


def contrast(
    lm: LM, layout: Layout, scenario: Scenario, outcomes: Callable[[Any], Tensor]
) -> tuple[Tensor, list[float]]:
    """Return Σ gap · (difference of group mean gate gradients) / Σ |gap| over variations, and the gaps; two groups."""
    total, gaps = torch.zeros(layout.size, dtype=torch.float64), []
    for variation in dict.fromkeys(case.variation for case in scenario.cases):
        sides = []
        for group in scenario.groups:
            cases = [c for c in scenario.cases if c.variation == variation and c.group == group]
            pairs = [gate_gradient(lm, layout, lambda case=case: outcomes(case)) for case in cases]
            sides.append((sum(v for v, _ in pairs) / len(pairs), sum(g for _, g in pairs) / len(pairs)))
        gaps.append(sides[0][0] - sides[1][0])
        total += gaps[-1] * (sides[0][1] - sides[1][1])
    return total / sum(map(abs, gaps)), gaps
