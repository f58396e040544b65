"""Weights of linear maps to read, whichever way they are stored, and their gradients one matrix at a time."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.component import Layout, Site
from evenhand.core.errors import CannotRun
from evenhand.lm.attribution.rows import Row
from evenhand.lm.attribution.trace import Batch, trace
from evenhand.lm.family import transposed, writer_inputs, writer_outputs
from evenhand.lm.model import LM

_HELD = 128 << 20
"""Bytes of inputs and gradients that are held at once; one matrix is taken even where it needs more."""

Factors = list[tuple[Float[Tensor, "_pos _out"], Float[Tensor, "_pos _in"]]]
"""Of one matrix, for each case: gradient of its outputs and its inputs, whose product is the gradient of the weight."""


def matrix(lm: LM, path: str) -> Float[Tensor, "out in"]:
    """Return the weight of a linear map as [out, in], not copied; raises CannotRun where it cannot be read."""
    module = lm.module(path)
    weight: Tensor = module.get_parameter("weight").detach()
    if weight.device.type == "meta" or not weight.is_floating_point():
        raise CannotRun(f"{path}: its weights cannot be read (offloaded or quantised); load the model in memory")
    return weight.T if transposed(module) else weight


def absolute_gradients(lm: LM, rows: Sequence[Row], sites: Sequence[Site]) -> Iterator[Float[Tensor, "out in"]]:
    """Yield for each site Σ over cases of |d objective / d W|, float32, the absolute value taken case by case.

    The gradient of one case is GᵀX over its tokens, with X the inputs of the map and G the gradient of its outputs; X
    and G of as many sites as fit into a budget are held, and the product of only one. One pass of the model for each
    such group of sites.
    """
    tokens = sum(row.length for row in rows)
    for group in _groups(lm, sites, tokens):
        held = _held(lm, rows, group)
        for site in group:
            yield _summed(held.pop(site.path))


def _groups(lm: LM, sites: Sequence[Site], tokens: int) -> Iterator[list[Site]]:
    group: list[Site] = []
    size = 0
    for site in sites:
        module = lm.module(site.path)
        bytes_ = module.get_parameter("weight").element_size()
        needs = tokens * (writer_inputs(module) + writer_outputs(module)) * bytes_
        if group and size + needs > _HELD:
            yield group
            group, size = [], 0
        group.append(site)
        size += needs
    if group:
        yield group


def _held(lm: LM, rows: Sequence[Row], sites: Sequence[Site]) -> dict[str, Factors]:
    """Run all rows once; return the factors of each site, padding left out."""
    found: dict[str, Factors] = {site.path: [] for site in sites}
    outputs = Layout("row", tuple(replace(s, units=writer_outputs(lm.module(s.path))) for s in sites))
    with _inputs(lm, sites) as inputs:
        for batch in trace(lm, rows, outputs, gradients=True):
            for site in outputs.sites:
                found[site.path].extend(_by_case(batch, site, inputs[site.path]))
            del batch  # so that two batches are never held at once
    return found


@contextmanager
def _inputs(lm: LM, sites: Sequence[Site]) -> Generator[dict[str, Tensor]]:
    """Give what went into these maps in the last forward pass."""
    seen: dict[str, Tensor] = {}

    def keep(path: str) -> Any:
        def hook(module: Any, args: tuple[Tensor, ...]) -> None:
            seen[path] = args[0].detach()

        return hook

    with ExitStack() as hooks:
        for site in sites:
            hooks.callback(lm.module(site.path).register_forward_pre_hook(keep(site.path)).remove)
        yield seen


def _by_case(batch: Batch, site: Site, inputs: Float[Tensor, "*any in"]) -> Factors:
    mask, slopes = batch.mask(site), batch.gradients[site.path]
    flat = inputs.reshape(len(batch.rows), -1, inputs.shape[-1])
    of_case = torch.tensor([row.case for row in batch.rows], device=mask.device)
    places = [mask & (of_case == case)[:, None] for case in batch.cases]
    return [(slopes[at], flat[at]) for at in places]


def _summed(factors: Factors) -> Float[Tensor, "out in"]:
    first_out, first_in = factors[0]
    total = torch.zeros(first_out.shape[1], first_in.shape[1], device=first_out.device)
    for slopes, inputs in factors:
        total += (slopes.float().T @ inputs.float()).abs_()
    return total
