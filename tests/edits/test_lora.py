"""Low-rank changes: the same logits in plain peft, applied and baked; every bit comes back; size-matched controls."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits import _file
from evenhand.edits.lora import Lora
from evenhand.export.adapter import adapter
from evenhand.lm.family import transposed, writer_inputs, writer_outputs
from evenhand.lm.model import LM
from evenhand.testing.tiny import tiny_lm
from evenhand.train.lora import query_value_maps

FAMILIES = ["llama", "gpt2", "t5", "bert"]
SCALE = {"float32": 1e-4, "bfloat16": 5e-2}
"""Largest difference from peft, as a share of the largest logit: in bfloat16 both round, at different places."""


def _lora(lm: LM, size: float = 0.1, rank: int = 3) -> Lora:
    drawn = torch.Generator().manual_seed(3)
    maps = query_value_maps(lm)
    shapes = {path: (writer_inputs(lm.module(path)), writer_outputs(lm.module(path))) for path in maps}
    return Lora(
        {
            path: (torch.randn(rank, i, generator=drawn) * size, torch.randn(o, rank, generator=drawn) * size)
            for path, (i, o) in shapes.items()
        },
        alpha=6.0,
    )


def _inputs(lm: LM) -> dict[str, torch.Tensor]:
    ids = torch.arange(5, 25).reshape(2, 10)
    more = {"decoder_input_ids": ids[:, :4]} if lm.kind == "encoder-decoder" else {}
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **more}


def _logits(lm: LM) -> torch.Tensor:
    with torch.no_grad():
        return lm.model(**_inputs(lm)).logits.float()


def _bits(lm: LM) -> dict[str, bytes]:
    return {n: p.detach().contiguous().view(torch.uint8).numpy().tobytes() for n, p in lm.model.named_parameters()}


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_peft_applied_and_baked_give_the_same_logits_and_every_bit_comes_back(
    family: str, dtype: str, tmp_path: Path
) -> None:
    from peft import PeftModel

    lm = tiny_lm(family, dtype=getattr(torch, dtype))
    edit, before, plain = _lora(lm), _bits(lm), _logits(lm)
    with edit.applied(lm):
        ours = _logits(lm)
    assert _bits(lm) == before
    done = adapter(lm, edit, tmp_path / "adapter")
    assert _bits(lm) == before
    model = PeftModel.from_pretrained(copy.deepcopy(lm.model), str(done.folder))
    with torch.no_grad():
        theirs = model(**_inputs(lm)).logits.float()
    apart, effect = float((theirs - ours).abs().max()), float((ours - plain).abs().max())
    limit = SCALE[dtype] * float(ours.abs().max())
    assert apart <= limit, f"{family} {dtype}: peft differs by {apart:.2g} (effect of the edit {effect:.2g})"
    assert effect > 5 * apart, f"{family} {dtype}: the edit's effect {effect:.2g} drowns in the difference {apart:.2g}"
    edit.bake(lm)
    assert torch.equal(_logits(lm), ours), "baked and applied differ"


def test_the_change_is_the_product_on_either_way_of_storing_a_weight() -> None:
    for family in ("llama", "gpt2"):
        lm = tiny_lm(family)
        edit = _lora(lm)
        path, (a, b) = next(iter(edit.factors.items()))
        module = lm.module(path)
        x = torch.randn(5, writer_inputs(module), generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            plain = module(x)
            with edit.applied(lm):
                changed = module(x)
        assert transposed(module) == (family == "gpt2")
        assert torch.allclose(changed - plain, 2.0 * (x @ a.T) @ b.T, atol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_it_is_saved_nested_and_reverted_after_an_exception(family: str, tmp_path: Path) -> None:
    lm = tiny_lm(family, dtype=torch.bfloat16)
    edit, before = _lora(lm), _bits(lm)
    _file.save(edit, tmp_path / "edit", lm.identity.to_json(), {})
    again = _file.load_edit(tmp_path / "edit", lm)
    with edit.applied(lm):
        once, ours = _bits(lm), _logits(lm)
        with pytest.raises(RuntimeError, match="stop"), again.applied(lm):
            raise RuntimeError("stop" if _bits(lm) != once else "not applied")
        assert _bits(lm) == once
    assert _bits(lm) == before
    with again.applied(lm):
        assert torch.equal(_logits(lm), ours)


def test_its_control_is_another_change_of_the_same_norm_and_rank() -> None:
    edit = _lora(tiny_lm("gpt2"))
    one, same, other = edit.control(1), edit.control(1), edit.control(2)
    for path in edit.factors:
        norms = [float(each.change(path).norm()) for each in (edit, one, other)]
        assert norms == pytest.approx([norms[0]] * 3, rel=1e-5)
        assert torch.equal(one.change(path), same.change(path))
        assert not torch.allclose(one.change(path), other.change(path))
        assert torch.linalg.matrix_rank(one.change(path)) == 3


def test_it_says_what_it_changes() -> None:
    lm = tiny_lm("llama")
    assert _lora(lm).describe() == "adds rank-3 changes to 6 maps in layers 0-2"
    assert _lora(tiny_lm("t5")).describe() == "adds rank-3 changes to 12 maps in encoder layers 0-1, decoder layers 0-1"
    assert Lora({"a.0.q": (torch.ones(2, 3), torch.zeros(3, 2))}, 2.0).describe() == "adds nothing"


def test_models_it_cannot_change_are_refused() -> None:
    from accelerate import cpu_offload

    lm, other = tiny_lm("llama"), tiny_lm("gpt2")
    edit = _lora(lm)
    with pytest.raises(UsageError, match=r"is not there in tiny:gpt2"), edit.applied(other):
        pass
    narrow = Lora({path: (a[:, 1:], b) for path, (a, b) in edit.factors.items()}, 1.0)
    with pytest.raises(UsageError, match=r"is not 32 by 31"), narrow.applied(lm):
        pass
    with pytest.raises(UsageError, match="same rank"):
        Lora({"a": (torch.ones(2, 3), torch.ones(3, 1))}, 1.0)
    lm.model.config.quantization_config = {"quant_method": "toy"}
    with pytest.raises(CannotRun, match="quantised, so nothing can be added"), edit.applied(lm):
        pass
    offloaded = tiny_lm("llama")
    cpu_offload(offloaded.model, execution_device=torch.device("cpu"))
    with pytest.raises(CannotRun, match="offloaded, so adding to it"), edit.applied(offloaded):
        pass
    assert lm.edits == offloaded.edits == []
