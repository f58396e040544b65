"""Attention units told apart by source add up to the whole; what feeds them is the paper's query score."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
import torch

from evenhand.core.errors import CannotRun
from evenhand.lm.attribution.direct import Parts, Reader
from evenhand.lm.attribution.queries import query_parts
from evenhand.lm.attribution.rows import Row, Target
from evenhand.lm.attribution.sources import ValueMap, sources
from evenhand.lm.model import LM
from evenhand.testing.conformance import untouched
from evenhand.testing.tiny import tiny_lm
from oracles.logit_loop import NAMES, queries

IDS = (7, 30, 55, 41, 90, 33, 18, 64)  # longer than the window of the families that have one
PAIR = ((70, 1.0), (81, -1.0))


def _row(lm: LM, ids: tuple[int, ...] = IDS, case: int = 0) -> Row:
    decoder = (0, 44, 61) if lm.kind == "encoder-decoder" else ()
    last = len(decoder or ids) - 1
    return Row(case, ids, len(ids), (), decoder, tuple(Target(last, t, w) for t, w in PAIR))


def _queries(lm: LM, rows: list[Row], top: int) -> torch.Tensor:
    found: list[Parts] = []
    query_parts(lm, rows, found.append, top)
    order = [row.case for parts in found for row in parts.rows]
    units = torch.cat([parts.units for parts in found])
    return units[torch.tensor([order.index(row.case) for row in rows])]


@pytest.mark.parametrize("name", [*NAMES, "t5_relu"])
def test_sources_add_up_to_the_unit_and_later_ones_are_not_read(name: str) -> None:
    lm = tiny_lm(name)
    rows = [_row(lm), _row(lm, IDS[:3], 1)]
    with untouched(lm, "telling sources apart"):
        (found,) = sources(lm, rows)
    layout = lm.layout("value")
    whole = Reader(lm, layout).parts(found.rows).units
    for site, expected in zip(layout.sites, whole.split([s.units for s in layout.sites], dim=1), strict=True):
        if site.path in found.slopes:
            parts = found.parts(site.path)
            torch.testing.assert_close(parts.sum(1), expected, atol=1e-5, rtol=1e-4)
            assert parts.shape[1] > 1
            short = next(r for r, row in enumerate(found.rows) if row.case == 1)
            assert not parts[short, 3:].any(), "padding must not be read"


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2"])
def test_query_scores_are_those_of_the_paper_where_values_have_no_bias(name: str) -> None:
    lm = tiny_lm(name)
    lm.model.config.final_logit_softcapping = None
    rows = [_row(lm, IDS[:5]), _row(lm, (12, 60, 33), 1)]
    for row, ours in zip(rows, _queries(lm, rows, 12), strict=True):
        expected = queries(lm, name, row, 12)
        print(f"{name}: largest difference to the paper's formula {float((ours - expected).abs().max()):.1e}")  # noqa: T201
        torch.testing.assert_close(ours, expected, atol=2e-5, rtol=1e-3)
        assert float(ours.abs().max()) > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("name", ["gpt2", "opt", "gpt_neox", "phi3", "t5"])
def test_query_scores_are_derivatives_with_attention_and_norms_held(name: str) -> None:
    """Turning a neuron up a little where it is read moves the value entries, and so the read-out, by its score."""
    lm = tiny_lm(name)
    row = _row(lm)
    (found,) = sources(lm, [row])
    ours = _queries(lm, [row], sum(found.parts(path).numel() for path in found.slopes))[0]
    layout = lm.layout("neuron")
    stack = "encoder" if name == "t5" else "decoder"
    site = next(site for site in layout.sites if site.stack == stack and site.layer == 0)
    start = layout.starts()[layout.sites.index(site)]
    unit = int(ours[start : start + site.units].abs().argmax())
    readers = {s.path: ValueMap.of(lm, s) for s in lm.layout("value").sites if s.path in found.slopes}
    moved = _entries(lm, row, site.path, unit, 1e-3, readers), _entries(lm, row, site.path, unit, -1e-3, readers)
    expected = 0.0
    for path in _fed_directly(lm, readers, site, stack):
        change = (moved[0][path] - moved[1][path]) / 2e-3
        expected += float((found.slopes[path][:, None] * found.weights[path] * change).sum())
    assert abs(expected) > 1e-4
    assert float(ours[start + unit]) == pytest.approx(expected, rel=1e-3)


def _fed_directly(lm: LM, readers: dict[str, ValueMap], site: Any, stack: str) -> list[str]:
    """Attention that reads the stream after this MLP."""
    known = {s.path: s for s in lm.layout("value").sites}
    if stack == "encoder":
        return [path for path in readers if "EncDec" in path]
    return [path for path in readers if known[path].layer > site.layer]


def _entries(lm: LM, row: Row, writer: str, unit: int, step: float, readers: dict[str, ValueMap]) -> Any:
    """Values everywhere when a neuron's activation is scaled by 1 + step; later writes and norms' sizes held."""
    held, seen = _Held(writer, unit), dict[str, torch.Tensor]()

    def keep(path: str, each: ValueMap) -> Any:
        def hook(module: Any, args: Any, out: torch.Tensor) -> None:
            seen[path] = out.double()[..., each.rows]

        return hook

    with ExitStack() as hooks:
        for site in (*lm.layout("neuron").sites, *lm.layout("value").sites):
            hooks.callback(lm.module(site.path).register_forward_hook(held.write(site.path)).remove)
        for path, part in lm.model.named_modules():
            if "norm" in type(part).__name__.lower():
                hooks.callback(part.register_forward_hook(held.norm(path)).remove)
        for path, each in readers.items():
            hooks.callback(lm.module(each.path).register_forward_hook(keep(path, each)).remove)
        extra = {"decoder_input_ids": torch.tensor([row.decoder])} if row.decoder else {}
        lm.model.double()
        for held.step in (0.0, step):
            lm.model(input_ids=torch.tensor([row.ids]), **extra)
        lm.model.float()
    return seen


class _Held:
    """Hooks that give what writers wrote and norms divided by in the first pass, but for `step` of one neuron."""

    def __init__(self, writer: str, unit: int) -> None:
        self.writer, self.unit, self.step = writer, unit, 0.0
        self.writes, self.sizes = dict[str, torch.Tensor](), dict[str, torch.Tensor]()

    def write(self, path: str) -> Any:
        def hook(module: Any, args: Any, out: torch.Tensor) -> torch.Tensor:
            first = self.writes.setdefault(path, out.clone())
            if path != self.writer:
                return first
            weight = module.weight[self.unit] if type(module).__name__ == "Conv1D" else module.weight[:, self.unit]
            return first + self.step * args[0][..., self.unit, None] * weight

        return hook

    def norm(self, path: str) -> Any:
        def hook(module: Any, args: Any, out: torch.Tensor) -> torch.Tensor:
            x = args[0] - args[0].mean(-1, keepdim=True) if isinstance(module, torch.nn.LayerNorm) else args[0]
            bias = module.bias if getattr(module, "bias", None) is not None else 0
            return self.sizes.setdefault(path, (out - bias) / (x * module.weight)) * x * module.weight + bias

        return hook


@pytest.mark.parametrize("seed", range(6))
def test_half_precision_is_not_taken_for_another_model(seed: int) -> None:
    """Attention implementations round differently, so that all that is compared must come from the same one."""
    lengths = (5, 9, 14)
    fine, coarse = (
        _queries(lm, [_row(lm, (IDS * 2)[:n], i) for i, n in enumerate(lengths)], 10_000).flatten()
        for lm in (tiny_lm("t5", dtype=dtype, seed=seed) for dtype in (torch.float32, torch.bfloat16))
    )
    correlation = float(torch.corrcoef(torch.stack([fine, coarse]))[0, 1])
    print(f"seed {seed}: {correlation:.4f}")  # noqa: T201
    assert correlation > 0.95


def test_attention_without_a_known_map_of_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("llama")
    attention: Any = lm.module("model.layers.0.self_attn")
    attention.renamed = attention._modules.pop("v_proj")
    with pytest.raises(CannotRun, match="no map of values"):
        list(sources(lm, [_row(lm)]))
