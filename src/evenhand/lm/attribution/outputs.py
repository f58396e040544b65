"""Activation × gradient of all units, reduced over tokens while the gradient flows, for any number of rows.

One forward and one backward pass serve all rows of a batch, because rows are independent. Each site's product is
reduced in a hook as soon as its gradient is there, so what is handed back is [row, unit] and no activation or gradient
is collected over sites; parameters get no gradient. An encoder beside a decoder reads what rows of one case have in
common once (`lm/attribution/encoded.py`); its gradients wait for those of the case's other rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from evenhand.core.component import Layout, Site
from evenhand.core.errors import CannotRun, UsageError
from evenhand.lm.attribution.encoded import Prompts
from evenhand.lm.attribution.rows import Row
from evenhand.lm.attribution.trace import frozen, inputs, target_scores
from evenhand.lm.model import LM

Tokens = Literal["max", "mean", "sum", "last"]
Choose = Callable[[Float[Tensor, " row"]], Sequence[int]]
"""From the objectives of all rows to those that are gone on with, every case among them, in the order of cases."""
Reduce = Callable[[Float[Tensor, "row pos unit"], Bool[Tensor, "row pos"]], Float[Tensor, "out unit"]]
"""From what each row's units contribute at each position, and which positions are tokens, to one number per unit."""


def contributions(
    lm: LM,
    rows: Sequence[Row],
    layout: Layout,
    reducing: Callable[[Float[Tensor, " row"]], Reduce],
    choose: Choose | None = None,
) -> tuple[Float[Tensor, " row"], Float[Tensor, "out unit"]]:
    """Run rows as one batch; return their objectives (nats) and activation · gradient of each, reduced (fp32).

    `reducing` is given the objectives and returns what is done at every site, in place where it likes. Positions are
    those of the sequence that a site is applied to: keys and values of cross-attention see the encoder's. With an
    encoder, `choose` may drop rows once all are scored, for which prompts are not read again. Raises CannotRun when no
    gradient reaches a site, UsageError for space `weight`.
    """
    if layout.space == "weight":
        raise UsageError("single weights have no activation; use space 'row', 'neuron', 'head' or 'value'")
    found: dict[str, Tensor] = {}
    chosen: list[Reduce] = []  # known only between the two passes
    prompts = Prompts(rows) if lm.kind == "encoder-decoder" else None
    with frozen(lm, True), ExitStack() as hooks:
        for site in layout.sites:

            def take(said: Tensor, slope: Tensor, site: Site = site) -> None:
                shared = prompts if site.stack == "encoder" else None
                terms = shared.products(site.path, said, slope) if shared else said.float() * slope.float()
                if terms is not None:
                    found[site.path] = chosen[0](_units(terms, len(rows), site), masks[site.sees or site.stack])

            hooks.callback(_watch(lm, site, layout.space == "row", take).remove)
        once = prompts.read(lm, inputs(lm, rows)) if prompts else None
        if prompts and once is not None and choose is not None:
            with torch.no_grad():
                kept = choose(target_scores(lm, rows, prompts.handed(once, inputs(lm, rows))))
            rows = [rows[i] for i in kept]
            prompts = Prompts(rows)
        masks = {stack: _tokens(lm, rows, stack) for stack in {site.sees or site.stack for site in layout.sites}}
        given = prompts.handed(once, inputs(lm, rows)) if prompts and once is not None else inputs(lm, rows)
        objective = target_scores(lm, rows, given)
        if not objective.requires_grad:
            raise CannotRun(f"{layout.sites[0].path}: no gradient reaches this map, so its units cannot be scored")
        chosen.append(reducing(objective.detach()))
        objective.sum().backward()
        if prompts and once is not None:
            prompts.back(once, given)
    missing = [site.path for site in layout.sites if site.path not in found]
    if missing:
        raise CannotRun(f"{missing[0]}: no gradient came back to this map, so its units cannot be scored by gradient")
    return objective.detach(), torch.cat([found[site.path].to(objective.device) for site in layout.sites], dim=1)


def over_tokens(
    terms: Float[Tensor, "row pos unit"], mask: Bool[Tensor, "row pos"], how: Tokens
) -> Float[Tensor, "row unit"]:
    """Reduce over the positions that are tokens; padding is −∞ before a maximum. `terms` may be overwritten."""
    if how == "last":
        last = mask.long().cumsum(1).argmax(1)
        return terms[torch.arange(len(terms), device=terms.device), last]
    if how == "max":
        return terms.masked_fill_(~mask[:, :, None], -torch.inf).amax(1)
    total = torch.einsum("rpu,rp->ru", terms, mask.to(terms))
    return total / mask.sum(1, keepdim=True) if how == "mean" else total


def _tokens(lm: LM, rows: Sequence[Row], stack: str) -> Bool[Tensor, "row pos"]:
    places = [row.places(stack, "all") for row in rows]
    mask = torch.zeros(len(rows), max(place[-1] + 1 for place in places), dtype=torch.bool)
    for line, place in zip(mask, places, strict=True):
        line[list(place)] = True
    return mask.to(lm.device)


def _watch(lm: LM, site: Site, output: bool, take: Callable[[Tensor, Tensor], None]) -> Any:
    """Hand activation and gradient at a map to `take` when the gradient arrives; raise where it never can."""

    def watch(hidden: Tensor) -> None:
        if not torch.is_grad_enabled():
            return
        if not hidden.requires_grad:
            raise CannotRun(f"{site.path}: no gradient reaches this map, so its units cannot be scored by gradient")
        said = hidden.detach()

        def arrived(slope: Tensor) -> None:
            take(said, slope)

        hidden.register_hook(arrived)

    def before(module: Any, args: tuple[Tensor, ...]) -> None:
        watch(args[0])

    def after(module: Any, args: tuple[Tensor, ...], out: Tensor) -> None:
        watch(out)

    module = lm.module(site.path)
    return module.register_forward_hook(after) if output else module.register_forward_pre_hook(before)


def _units(terms: Tensor, rows: int, site: Site) -> Float[Tensor, "row pos unit"]:
    """OPT hands its MLP writer [row * position, in]; heads are `width` columns each."""
    apart = terms.reshape(rows, -1, site.units, site.width)
    return apart[..., 0] if site.width == 1 else apart.sum(-1)
