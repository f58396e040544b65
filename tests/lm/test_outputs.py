"""Contributions reduced while gradients flow: against traced activations and gradients, and where none can flow."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from evenhand.core.errors import CannotRun, UsageError
from evenhand.lm.attribution.objective import favourable_rows
from evenhand.lm.attribution.outputs import contributions, over_tokens
from evenhand.lm.attribution.rows import Row, continuation_rows
from evenhand.lm.attribution.trace import trace
from evenhand.testing.conformance import untouched
from evenhand.testing.tiny import FAMILY_NAMES, tiny_lm
from oracles.people import use_case


@pytest.mark.parametrize("how", ["max", "mean", "sum", "last"])
@pytest.mark.parametrize(
    ("space", "name"), [("row", name) for name in FAMILY_NAMES] + [("head", "t5"), ("neuron", "opt")]
)
def test_reductions_are_those_of_traced_products(space: Any, name: str, how: Any) -> None:
    lm, scenario = tiny_lm(name), use_case()
    layout, rows = lm.layout(space), favourable_rows(lm, scenario)[:5]
    with untouched(lm, "contributions"):
        objective, found = contributions(lm, rows, layout, lambda _: lambda terms, mask: over_tokens(terms, mask, how))
    (batch,) = trace(lm, rows, layout, gradients=True)
    order = [batch.rows.index(row) for row in rows]
    torch.testing.assert_close(objective, batch.objective[order])
    for site, piece in zip(layout.sites, found.split([site.units for site in layout.sites], dim=1), strict=True):
        products = (batch.captured[site.path] * batch.gradients[site.path])[order]
        products = products.unflatten(2, (site.units, site.width)).sum(-1)
        for row, there, value in zip(products, batch.mask(site)[order], piece, strict=True):
            real = row[there]
            wanted: dict[str, Tensor] = {
                "max": real.amax(0),
                "mean": real.mean(0),
                "sum": real.sum(0),
                "last": real[-1],
            }
            torch.testing.assert_close(value, wanted[how], atol=1e-6, rtol=1e-4)


def test_an_encoder_reads_what_rows_of_one_case_have_in_common_once() -> None:
    """Three, one and two answers to prompts of several lengths, in any order, against each row by itself."""
    lm = tiny_lm("t5")
    asked = (
        ("The man sold the lamp. Who?", (" a", " the lamp", " it")),
        ("It rains.", (" it",)),
        ("Ann", (" a", " 3")),
    )
    rows = [
        row
        for i, (prompt, options) in enumerate(asked)
        for option in options
        for row in continuation_rows(lm, i, prompt, [option], [1.0])
    ]
    rows = [rows[i] for i in (4, 0, 3, 1, 5, 2)]
    read: list[int] = []
    first = lm.module("encoder.block.0")

    def found(some: list[Row]) -> tuple[Tensor, Tensor]:
        handle = first.register_forward_hook(lambda module, args, out: read.append(len(args[0])))
        try:
            layout = lm.layout("row")
            return contributions(lm, some, layout, lambda _: lambda terms, mask: over_tokens(terms, mask, "max"))
        finally:
            handle.remove()

    together = found(rows)
    assert read == [len(asked)]
    alone = [found([row]) for row in rows]
    torch.testing.assert_close(together[0], torch.cat([objective for objective, _ in alone]))
    torch.testing.assert_close(together[1], torch.cat([terms for _, terms in alone]), atol=1e-6, rtol=1e-4)


def test_a_map_that_no_gradient_reaches_is_named() -> None:
    """With only the encoder's embeddings requiring a gradient, T5's first decoder block silently gets none."""
    lm, scenario = tiny_lm("t5"), use_case()
    rows = favourable_rows(lm, scenario)[:2]

    def require(module: Any, args: Any, out: Tensor) -> Tensor:
        return out.requires_grad_(True)

    lm.model._require_grads_hooks = [None]  # stands for hooks of another's making, which are left as they are
    handle = lm.model.encoder.dropout.register_forward_pre_hook(lambda module, args: (args[0].requires_grad_(True),))
    try:
        with pytest.raises(CannotRun, match=r"decoder\.block\.0\.layer\.0\.SelfAttention\.q: no gradient reaches"):
            contributions(lm, rows, lm.layout("row"), lambda _: lambda terms, mask: over_tokens(terms, mask, "sum"))
    finally:
        handle.remove()
        del lm.model._require_grads_hooks


def test_single_weights_are_refused() -> None:
    lm = tiny_lm("llama")
    rows = favourable_rows(lm, use_case())[:1]
    with pytest.raises(UsageError, match="no activation"):
        contributions(lm, rows, lm.layout("weight"), lambda _: lambda terms, mask: over_tokens(terms, mask, "sum"))
