"""Closed forms against the softmax loop of every family; everything a model writes adds up to its logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from accelerate import cpu_offload

from evenhand.core.errors import CannotRun
from evenhand.lm.attribution.direct import Parts, Reader, direct_parts
from evenhand.lm.attribution.rows import Row, Target
from evenhand.lm.attribution.stream import read_out
from evenhand.lm.batches.tail import Tail
from evenhand.lm.model import LM
from evenhand.testing.tiny import tiny_lm
from oracles.logit_loop import NAMES, looped, read

IDS = (7, 30, 55, 41, 90)
OTHER = (12, 60, 33)
PAIR = ((70, 1.0), (81, -1.0))
SETS = ((70, 0.5), (75, 0.5), (81, -0.25), (82, -0.25), (90, -0.5))


def _row(lm: LM, targets: Any, ids: tuple[int, ...] = IDS) -> Row:
    if lm.kind == "encoder-decoder":
        decoder = (0, 44, 61)
        return Row(0, ids, len(ids), (), decoder, tuple(Target(2, t, w) for t, w in targets))
    return Row(0, ids, len(ids), (), (), tuple(Target(len(ids) - 1, t, w) for t, w in targets))


def _parts(lm: LM, rows: list[Row], space: Any = "neuron", exact: int = 0) -> list[Parts]:
    found: list[Parts] = []
    direct_parts(lm, rows, lm.layout(space), found.append, exact)
    return found


def _uncapped(name: str) -> LM:
    lm = tiny_lm(name)
    lm.model.config.final_logit_softcapping = None
    return lm


@pytest.mark.parametrize("targets", [PAIR, SETS], ids=["pair", "sets"])
@pytest.mark.parametrize("name", NAMES)
def test_contrasts_equal_the_softmax_loop(name: str, targets: Any) -> None:
    """Rows of other lengths beside it, so that padding and position are tested too."""
    lm = _uncapped(name)
    row = _row(lm, targets)
    loop = looped(lm, name, row)
    logits = loop.logits
    largest = 0.0
    (neurons,), (values,) = (_parts(lm, [_row(lm, PAIR, OTHER), row], space) for space in ("neuron", "value"))
    place = [len(r.ids) for r in neurons.rows].index(len(IDS))
    assert float(neurons.values[place]) == pytest.approx(float(read(logits.log_softmax(-1), row)), abs=1e-4)
    ours = {site.path: x for s in (neurons, values) for site, x in _by_site(lm, s, place)}
    for layer in range(loop.layers()):
        block = f"{loop.names.blocks}.{layer}"
        pairs = [(f"{block}.{loop.names.mlp}", loop.neurons(layer))]
        pairs += [(f"{block}.{w}", loop.values(layer, i)) for i, w in enumerate(loop.names.attention)]
        for path, expected in pairs:
            largest = max(largest, float((ours[path] - read(expected, row)).abs().max()))
            assert float(ours[path].abs().max()) > 1e-3
    print(f"{name}: largest difference to the loop {largest:.1e}")  # noqa: T201
    assert largest < 1e-4


def _by_site(lm: LM, parts: Parts, place: int) -> Any:
    layout = next(x for x in (lm.layout("neuron"), lm.layout("value")) if x.size == parts.units.shape[1])
    return list(layout.split(parts.units[place]))


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_everything_that_is_written_adds_up(name: str) -> None:
    """Embedding, units and biases reproduce the final log-odds; units and bias of an MLP reproduce what it writes."""
    lm = _uncapped(name)
    row = _row(lm, SETS)
    loop = looped(lm, name, row)
    logits = loop.logits
    tail = Tail.of(lm, next(s for s in lm.layout("neuron").sites if s.stack == "decoder"))
    found = read_out(lm, [row], tail)
    embedding = sum(t.weight * tail.rows(torch.tensor([t.token])) for t in row.targets)
    u = found.scale[:, None] * tail.back(embedding)
    norm = lm.model.get_submodule(loop.names.norm)
    beta = norm.bias if getattr(norm, "bias", None) is not None else torch.zeros_like(norm.weight)
    beta = beta @ lm.model.get_submodule(loop.names.project).weight.T if loop.names.project else beta
    total = (found.stream.start * u).sum() + (beta * embedding).sum()
    head = lm.head.bias
    total += 0 if head is None else sum(t.weight * head[t.token] for t in row.targets)
    for site, x in [e for s in ("neuron", "value") for e in _by_site(lm, _parts(lm, [row], s)[0], 0)]:
        if site.path in found.stream.writes:
            bias = getattr(lm.module(site.path), "bias", None)
            extra = torch.tensor(0.0) if bias is None else (bias * u).sum()
            total += x.sum() + extra
            written = (found.stream.writes[site.path] * u).sum()
            assert float(x.sum() + extra - written) == pytest.approx(0.0, abs=1e-4), site.path
    difference = float((total - read(logits, row)).abs())
    print(f"{name}: parts and whole differ by {difference:.1e}")  # noqa: T201
    assert difference < 1e-4


@torch.no_grad()
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "opt", "t5", "gpt_neox"])
def test_targets_are_the_derivative_at_the_writers_stream_and_exact_ones_the_loop(name: str) -> None:
    lm = tiny_lm(name)
    row = _row(lm, ((70, 1.0),))
    loop = looped(lm, name, row)
    layer, count = 1, 12
    (first,), (exact,) = (_parts(lm, [row], "neuron", n) for n in (0, count))
    path = f"{loop.names.blocks}.{layer}.{loop.names.mlp}"
    ours = next(x for site, x in _by_site(lm, first, 0) if site.path == path)
    base = loop.stream(layer, attention=len(loop.names.attention)).double()
    each = loop.writes(layer, loop.names.mlp, loop.names.after_mlp).double()
    loop.model.double()
    loop.seen = {key: x.double() for key, x in loop.seen.items()}
    step = 1e-4
    slope = torch.stack([(loop.log_p(base + step * e) - loop.log_p(base - step * e))[70] / (2 * step) for e in each])
    loop.model.float()
    loop.seen = {key: x.float() for key, x in loop.seen.items()}
    print(f"{name}: largest difference to the derivative {float((ours - slope).abs().max()):.1e}")  # noqa: T201
    torch.testing.assert_close(ours.double(), slope, atol=1e-4, rtol=1e-3)

    rescored = (exact.units[0] != first.units[0]).nonzero().flatten()
    assert 0 < len(rescored) <= count
    assert set(rescored.tolist()) <= set(first.units[0].abs().topk(count).indices.tolist())
    place = dict(zip((s.path for s in lm.layout("neuron").sites), lm.layout("neuron").starts(), strict=True))
    for n in range(loop.layers()):
        start = place[f"{loop.names.blocks}.{n}.{loop.names.mlp}"]
        expected = loop.neurons(n)[:, 70]
        for unit in rescored[(rescored >= start) & (rescored < start + len(expected))].tolist():
            assert float(exact.units[0, unit]) == pytest.approx(float(expected[unit - start]), abs=1e-4)


@torch.no_grad()
def test_under_a_soft_cap_contrasts_are_the_derivative_at_the_final_logits() -> None:
    lm = tiny_lm("gemma2")
    lm.model.config.final_logit_softcapping = 2.0  # tight, so that it matters
    row = _row(lm, PAIR)
    loop = looped(lm, "gemma2", row)
    (parts,) = _parts(lm, [row])
    end = loop.seen[f"{loop.names.norm}:in"]
    for layer, (_, ours) in enumerate(_by_site(lm, parts, 0)):
        each = loop.writes(layer, loop.names.mlp, loop.names.after_mlp)
        step = 1e-2
        slope = torch.stack([read(loop.log_p(end + step * e) - loop.log_p(end - step * e), row) for e in each])
        torch.testing.assert_close(ours, slope / (2 * step), atol=2e-4, rtol=1e-3)
        flat = torch.stack([read(loop.log_p(end + e, False) - loop.log_p(end, False), row) for e in each])
        assert not torch.allclose(ours, flat, atol=1e-3, rtol=1e-2), "the cap must matter for this to test it"


def test_a_head_is_the_sum_of_its_columns_and_what_is_known_is_used_again() -> None:
    lm = tiny_lm("qwen3")
    rows = [_row(lm, PAIR), _row(lm, SETS, OTHER), _row(lm, PAIR, (*OTHER, 9))]
    heads, values = Reader(lm, lm.layout("head")), Reader(lm, lm.layout("value"))
    sites = lm.layout("head").sites
    summed = values.parts(rows).units.reshape(3, sum(s.units for s in sites), sites[0].width).sum(2)
    torch.testing.assert_close(heads.parts(rows).units, summed)
    assert {path: len(kept) for path, kept in heads.known.items()} == {site.path: 2 for site in sites}
    before = {path: dict(kept) for path, kept in heads.known.items()}
    alone = heads.parts(rows[1:2]).units
    assert all(heads.known[path][key] is value for path, kept in before.items() for key, value in kept.items())
    torch.testing.assert_close(alone, heads.parts(rows).units[1:2], atol=1e-5, rtol=1e-4)


def test_no_more_products_are_kept_than_a_bound_and_those_used_last(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("qwen3")
    rows = [_row(lm, ((70, 1.0), (token, -1.0))) for token in range(40, 50)]
    expected = Reader(lm, lm.layout("neuron")).parts(rows).units
    monkeypatch.setattr("evenhand.lm.attribution.direct._KEPT", 3)
    reader = Reader(lm, lm.layout("neuron"))
    torch.testing.assert_close(reader.parts(rows).units, expected)
    for some, left in (([7], [48, 49, 47]), ([2, 2, 8], [47, 42, 48]), ([0, 1, 3], [40, 41, 43])):
        torch.testing.assert_close(reader.parts([rows[i] for i in some]).units, expected[some], atol=1e-5, rtol=1e-4)
        for kept in reader.known.values():
            assert sorted(min(token for token, _ in key) for key in kept) == sorted(left)
            assert all(x.untyped_storage().nbytes() == x.nbytes for x in kept.values())


def test_units_of_an_encoder_have_no_direct_path() -> None:
    lm = tiny_lm("t5")
    (parts,) = _parts(lm, [_row(lm, PAIR)])
    for site, x in _by_site(lm, parts, 0):
        assert bool(x.any()) == (site.stack == "decoder")


def test_models_without_a_known_direct_path_are_refused() -> None:
    with pytest.raises(CannotRun, match="masked models have norms after every sum"):
        _parts(tiny_lm("bert"), [Row(0, IDS, 5, (), (), (Target(4, 70),))])
    lm = tiny_lm("llama")
    lm.module("model.layers.1").register_forward_hook(lambda module, args, out: out * 1.5)
    with pytest.raises(CannotRun, match="not the sum of what its blocks write"):
        _parts(lm, [_row(lm, PAIR)])
    lm = tiny_lm("llama")
    lm.head.register_forward_pre_hook(lambda module, args: (args[0].tanh(),))
    with pytest.raises(CannotRun, match="more than a norm"):
        _parts(lm, [_row(lm, PAIR)])
    lm = tiny_lm("mixtral")
    assert bool(_parts(lm, [_row(lm, PAIR)], "head")[0].units.any())
    with pytest.raises(CannotRun, match="experts"):
        _parts(lm, [_row(lm, ((70, 1.0),))], "head")


@pytest.mark.parametrize("part", ["", "lm_head", "model.norm", "model.layers.1.post_feedforward_layernorm"])
def test_a_path_through_offloaded_weights_is_refused(part: str) -> None:
    lm = tiny_lm("gemma2")
    cpu_offload(lm.module(part) if part else lm.model, execution_device=torch.device("cpu"))
    with pytest.raises(CannotRun, match=r"offloaded.*load the model in memory"):
        _parts(lm, [_row(lm, PAIR)])


@pytest.mark.parametrize("name", ["llama", "gemma2", "opt", "t5"])
def test_half_precision_gives_the_same_scores_but_for_rounding(name: str) -> None:
    fine, coarse = (tiny_lm(name, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    a, b = (_parts(lm, [_row(lm, PAIR)])[0].units[0] for lm in (fine, coarse))
    assert float(torch.corrcoef(torch.stack([a, b]))[0, 1]) > 0.995
