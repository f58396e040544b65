"""What removes an attention head under grouped-query attention, and what only seems to."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from evenhand.core.component import Selection, Space
from evenhand.edits.scale import Scale
from evenhand.lm.attribution.attention import eager
from evenhand.lm.model import LM
from evenhand.testing.tiny import tiny_lm
from oracles.weights import weight

GQA = ["llama", "qwen3"]
HEAD, LAYER = 1, 1
TEXT = "Jamal and Hunter waited for the bus, and she said that it was late."


def _seen(lm: LM) -> dict[str, Any]:
    """Attention weights, values, what each head hands to the writer and what that writes, in one layer."""
    attention: Any = lm.module(f"model.layers.{LAYER}.self_attn")
    found: dict[str, Any] = {}
    hooks = [
        attention.v_proj.register_forward_hook(lambda m, a, out: found.update(values=out[0])),
        attention.o_proj.register_forward_hook(lambda m, a, out: found.update(heads=a[0][0], written=out[0])),
    ]
    ids = torch.tensor([lm.tokenizer(TEXT)["input_ids"]])
    with eager(lm), torch.no_grad():
        found["weights"] = lm.model(input_ids=ids, output_attentions=True).attentions[LAYER][0]
    for hook in hooks:
        hook.remove()
    return found


def _edit(lm: LM, space: Space, path: str, units: range) -> Scale:
    layout = lm.layout(space)
    start = dict(zip((site.path for site in layout.sites), layout.starts(), strict=True))[path]
    return Scale(Selection.of(layout, [start + unit for unit in units]))


def _sizes(lm: LM) -> tuple[int, int]:
    """Width of a head, and how many heads share its keys and values."""
    attention: Any = lm.module(f"model.layers.{LAYER}.self_attn")
    return attention.head_dim, attention.num_key_value_groups


@pytest.mark.parametrize("name", GQA)
def test_zero_columns_of_the_writer_remove_exactly_what_the_head_writes(name: str) -> None:
    lm = tiny_lm(name)
    width, shared = _sizes(lm)
    assert shared > 1
    before = _seen(lm)
    with _edit(lm, "head", f"model.layers.{LAYER}.self_attn.o_proj", range(HEAD, HEAD + 1)).applied(lm):
        after = _seen(lm)
    own = slice(HEAD * width, (HEAD + 1) * width)
    of_group = slice(HEAD // shared * width, (HEAD // shared + 1) * width)
    output = before["weights"][HEAD] @ before["values"][:, of_group]
    torch.testing.assert_close(output, before["heads"][:, own], atol=1e-5, rtol=1e-4)
    writes = output @ weight(lm, f"model.layers.{LAYER}.self_attn.o_proj")[:, own].T
    assert float(writes.abs().max()) > 1e-2
    torch.testing.assert_close(before["written"] - after["written"], writes, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", GQA)
def test_zero_rows_of_the_query_leave_the_mean_of_the_values(name: str) -> None:
    lm = tiny_lm(name)
    width, shared = _sizes(lm)
    rows = range(HEAD * width, (HEAD + 1) * width)
    with _edit(lm, "row", f"model.layers.{LAYER}.self_attn.q_proj", rows).applied(lm):
        after = _seen(lm)
    values = after["values"][:, HEAD // shared * width : (HEAD // shared + 1) * width]
    means = values.cumsum(0) / torch.arange(1, len(values) + 1)[:, None]
    torch.testing.assert_close(after["heads"][:, rows.start : rows.stop], means, atol=1e-5, rtol=1e-4)
    assert float(means.abs().max()) > 1e-2, "it still writes"


@pytest.mark.parametrize("name", GQA)
def test_zero_rows_of_the_values_silence_every_head_that_shares_them(name: str) -> None:
    lm = tiny_lm(name)
    width, shared = _sizes(lm)
    with _edit(lm, "row", f"model.layers.{LAYER}.self_attn.v_proj", range(width)).applied(lm):
        after = _seen(lm)
    assert bool((after["heads"][:, : shared * width] == 0).all())
    assert bool((after["heads"][:, shared * width :] != 0).any())
