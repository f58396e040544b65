"""Changes of whole parameters: the laws of an edit, sparse ones, controls, and models they do not fit."""

from __future__ import annotations

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.edits.delta import Delta
from evenhand.lm.model import LM
from evenhand.testing.conformance import check_edit
from evenhand.testing.tiny import tiny_lm

CASES = tuple(Case(str(i), text, "texts") for i, text in enumerate(("The lamp is", "She sold it for")))


def _trained(lm: LM, scale: float = 0.05) -> dict[str, torch.Tensor]:
    """Two parameters with noise on them, as after some steps of training."""
    draw = torch.Generator().manual_seed(3)
    chosen = [(n, p) for n, p in lm.model.named_parameters() if p.ndim == 2][1:4]
    return {n: (p.detach() + scale * torch.randn(p.shape, generator=draw)).to(p.dtype) for n, p in chosen}


def _base(lm: LM) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in lm.model.named_parameters()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("share", "rank"), [(1.0, 0), (0.1, 0), (1.0, 2)])
def test_it_obeys_the_laws_of_an_edit(dtype: torch.dtype, share: float, rank: int) -> None:
    lm = tiny_lm("gpt2", dtype=dtype)
    edit = Delta.between(_base(lm), _trained(lm), share, rank)
    check_edit(edit, lm, CASES)
    check_edit(edit.control(1), lm, CASES)
    with Delta({}).applied(lm):
        assert all(torch.equal(p, _base(tiny_lm("gpt2", dtype=dtype))[n]) for n, p in lm.model.named_parameters())


def test_it_gives_the_trained_bits_in_half_precision_applied_and_baked() -> None:
    lm = tiny_lm("llama", dtype=torch.bfloat16)
    trained = _trained(lm)
    edit = Delta.between(_base(lm), trained)
    parameters = dict(lm.model.named_parameters())
    with edit.applied(lm):
        assert all(torch.equal(parameters[n], value) for n, value in trained.items())
    edit.bake(lm)
    assert all(torch.equal(parameters[n], value) for n, value in trained.items())


def test_parameters_that_did_not_change_are_left_out() -> None:
    lm = tiny_lm("gpt2")
    name = next(iter(_trained(lm)))
    assert not Delta.between(_base(lm), {name: _base(lm)[name]}).changes


def test_a_sparse_change_keeps_the_largest_entries() -> None:
    lm = tiny_lm("gpt2")
    whole, few = (Delta.between(_base(lm), _trained(lm), share) for share in (1.0, 0.05))
    for name, change in few.changes.items():
        all_ = whole.changes[name].whole().abs().flatten()
        assert len(change.values) == round(0.05 * len(all_))
        assert float(change.values.abs().min()) >= float(all_.sort(descending=True).values[len(change.values)])
        assert int((change.whole() != 0).sum()) == len(change.values)
    assert "5.0% of their entries" in few.describe()


def test_a_low_rank_change_is_the_nearest_of_its_rank_and_kept_as_factors() -> None:
    lm = tiny_lm("gpt2")
    trained = _trained(lm) | {"transformer.ln_f.bias": lm.model.transformer.ln_f.bias.detach() + 1}
    whole, low = (Delta.between(_base(lm), trained, rank=rank) for rank in (0, 3))
    for name, change in low.changes.items():
        full = whole.changes[name].whole()
        if full.ndim < 2:
            assert torch.equal(change.whole(), full)
            continue
        assert {each.shape for each in change.tensors().values()} == {(len(full), 3), (3, full.shape[1])}
        rest = torch.linalg.svdvals(full)[3:]
        assert float((full - change.whole()).norm()) == pytest.approx(float(rest.norm()), rel=1e-4)
        control = low.control(5).changes[name]
        assert torch.linalg.matrix_rank(control.whole()) == 3
        assert float(control.whole().norm()) == pytest.approx(float(change.whole().norm()), rel=1e-4)
    assert "4 parameters (matrices by rank 3)" in low.describe()
    assert "rank" not in Delta.between(_base(lm), trained, rank=10**6).describe()


@pytest.mark.parametrize("share", [1.0, 0.1])
def test_a_control_has_the_same_norm_and_as_many_entries(share: float) -> None:
    lm = tiny_lm("gpt2")
    edit = Delta.between(_base(lm), _trained(lm), share)
    control = edit.control(7)
    for name, change in edit.changes.items():
        other = control.changes[name]
        assert float(other.whole().norm()) == pytest.approx(float(change.whole().norm()), rel=1e-5)
        assert len(other.values) == len(change.values)
        assert not torch.equal(other.whole(), change.whole())
    assert torch.equal(edit.control(7).changes[name].values, control.changes[name].values)


def test_another_model_is_refused() -> None:
    edit = Delta.between(_base(lm := tiny_lm("gpt2")), _trained(lm))
    with pytest.raises(UsageError, match=r"is not there .* fitted on"), edit.applied(tiny_lm("llama")):
        pass
