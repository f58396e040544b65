"""Scores of single weights written out: one sequence at a time, every score of a matrix held, gradients by torch."""

from __future__ import annotations

import re
from typing import Any

import torch

from evenhand.core.case import Case
from evenhand.core.scenario import Scenario
from evenhand.lm.model import LM
from oracles.gates import option_logp, writer_inputs

Table = dict[str, torch.Tensor]
"""[out, in] by path."""


def weight(lm: LM, path: str) -> torch.Tensor:
    """A matrix as [out, in]."""
    module: Any = lm.module(path)
    return (module.weight.T if type(module).__name__ == "Conv1D" else module.weight).detach()


def answer_places(lm: LM, prompt: str, option: str) -> list[int]:
    """Where in the tokens of prompt and option together the option's own are; of T5 in the decoder, after its start."""
    if lm.kind == "encoder-decoder":
        return [1 + i for i in range(len(lm.tokenizer(option, add_special_tokens=False)["input_ids"]))]
    offsets = lm.tokenizer(prompt + option, return_offsets_mapping=True)["offset_mapping"]
    return [i for i, (start, end) in enumerate(offsets) if end > len(prompt) and end > start]


def own_answer(lm: LM, case: Case) -> str:
    """The likeliest option; a text has none and is its own."""
    with torch.no_grad():
        return max(case.options, key=lambda option: float(option_logp(lm, case.prompt, option)), default="")


def _counted(lm: LM, case: Case, tokens: str) -> tuple[dict[str, Any], slice, slice]:
    """What the model is given for a case, and which tokens count in its encoder and in its (only) other stack."""
    tokenizer, option = lm.tokenizer, "" if tokens == "prompt" else own_answer(lm, case)
    whole, nothing = slice(None), slice(0)
    if lm.kind == "encoder-decoder":
        said = [lm.model.config.decoder_start_token_id, *tokenizer(option, add_special_tokens=False)["input_ids"]]
        given = {"input_ids": torch.tensor([tokenizer(case.prompt)["input_ids"]]),
                 "decoder_input_ids": torch.tensor([said])}  # fmt: skip
        return given, nothing if tokens == "answer" else whole, slice(1, None) if tokens == "answer" else whole
    ids = tokenizer(case.prompt + option)["input_ids"]
    if lm.kind == "causal" and not case.options:
        ids = ids[:-1]  # A text's last token is said, but nothing is read there.
    given = {"input_ids": torch.tensor([ids])}
    if tokens != "answer":
        return given, whole, whole
    # The end token of a masked model stands behind the answer and counts with it.
    after = slice(answer_places(lm, case.prompt, option)[0], None)
    return given, after, after


def wanda(lm: LM, scenario: Scenario, tokens: str) -> Table:
    """|W| times the root of the summed squares of its inputs per prompt, each case read once, as it is written."""
    layout = lm.layout("weight")
    squares: Table = {}
    for case in scenario.cases:
        given, in_encoder, elsewhere = _counted(lm, case, tokens)
        inputs = writer_inputs(lm, layout, **given)
        for site in layout.sites:
            # In T5's decoder, keys and values of the attention to the encoder read the encoder.
            reads_encoder = re.search(r"^encoder\.|EncDecAttention\.[kv]$", site.path) is not None
            x = inputs[site.path][in_encoder if reads_encoder else elsewhere]
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
        best = own_answer(lm, case)
        loss = -option_logp(lm, case.prompt, best) / len(answer_places(lm, case.prompt, best))
        for site, parameter, slope in zip(sites, parameters, torch.autograd.grad(loss, parameters), strict=True):
            stored = (slope * parameter.detach()).abs()
            as_out_in = stored.T if type(lm.module(site.path)).__name__ == "Conv1D" else stored
            total[site.path] = total.get(site.path, 0) + as_out_in / len(scenario.cases)  # type: ignore[assignment]
    return total
