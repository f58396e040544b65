"""Scaling units: original bits back, the model really changes, and files give the same edit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import evenhand
from evenhand import find
from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits import _file
from evenhand.edits.compose import Compose
from evenhand.edits.scale import Scale
from evenhand.lm.family import transposed
from evenhand.lm.model import LM
from evenhand.testing.tiny import FAMILY_NAMES, tiny_lm

FAMILIES = [(name, space) for name in FAMILY_NAMES for space in ("neuron", "head", "value", "row")]
WEIGHTS = [(name, "weight") for name in FAMILY_NAMES]


def _bits(lm: LM) -> dict[str, bytes]:
    return {n: p.detach().contiguous().view(torch.uint8).numpy().tobytes() for n, p in lm.model.named_parameters()}


def _logits(lm: LM) -> torch.Tensor:
    ids = torch.arange(5, 17)[None]
    more = {"decoder_input_ids": ids[:, :4]} if lm.kind == "encoder-decoder" else {}
    with torch.no_grad():
        return lm.model(input_ids=ids, attention_mask=torch.ones_like(ids), **more).logits.float()


def _some(lm: LM, space: str, count: int = 3) -> Selection:
    layout = lm.layout(space)  # type: ignore[arg-type]
    count = count if space != "weight" else count * 50
    chosen = torch.randperm(layout.size, generator=torch.Generator().manual_seed(1))[:count]
    return Selection.of(layout, chosen)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("family", "space"), [*FAMILIES, *WEIGHTS])
def test_original_bits_come_back(family: str, space: str, dtype: torch.dtype) -> None:
    lm = tiny_lm(family, dtype=dtype)
    before, logits = _bits(lm), _logits(lm)
    for factor in (0.0, 0.3, -1.0):
        with Scale(_some(lm, space), factor).applied(lm):
            assert _bits(lm) != before
            assert not torch.equal(_logits(lm), logits), "an edit that is never applied"
        assert _bits(lm) == before


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt", "t5", "bert"])
def test_bits_come_back_after_an_exception_and_nested(family: str) -> None:
    lm = tiny_lm(family, dtype=torch.bfloat16)
    before = _bits(lm)
    first, second = Scale(_some(lm, "neuron", 5), 0.3), Scale(_some(lm, "neuron", 8), 0.7)
    with pytest.raises(RuntimeError, match="stop"), first.applied(lm), second.applied(lm):
        raise RuntimeError("stop")
    assert _bits(lm) == before
    assert lm.edits == []
    with Compose((first, second)).applied(lm):
        both = _bits(lm)
    with first.applied(lm), second.applied(lm):
        assert _bits(lm) == both


def test_ending_in_another_order_raises() -> None:
    lm = tiny_lm("llama")
    outer, inner = Scale(_some(lm, "head")).applied(lm), Scale(_some(lm, "neuron")).applied(lm)
    outer.__enter__()
    inner.__enter__()
    with pytest.raises(UsageError, match="reverse of the order"):
        outer.__exit__(None, None, None)


@pytest.mark.parametrize(("family", "space"), FAMILIES)
def test_zeroing_weights_equals_zeroing_activations(family: str, space: str) -> None:
    lm = tiny_lm(family)
    units = _some(lm, space, 4)
    with Scale(units, mechanism="weight").applied(lm):
        in_weights = _logits(lm)
    with Scale(units, mechanism="activation").applied(lm):
        in_hooks = _logits(lm)
    assert torch.equal(in_weights, in_hooks)


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5"])
def test_an_entry_is_the_one_at_its_row_and_column(family: str) -> None:
    lm = tiny_lm(family)
    layout = lm.layout("weight")
    for site in (layout.sites[0], layout.sites[-1]):
        module = lm.module(site.path)
        weight = module.weight.T if transposed(module) else module.weight
        row, column = 3, 7
        start = layout.starts()[layout.sites.index(site)]
        before = weight.detach().clone()
        with Scale(Selection.of(layout, [start + row * weight.shape[1] + column])).applied(lm):
            changed = (weight != before).nonzero().tolist()
        assert changed == [[row, column]]


@pytest.mark.parametrize("family", ["gpt2", "bert", "t5"])
def test_a_row_is_switched_off_with_its_bias_by_hand(family: str) -> None:
    lm = tiny_lm(family)
    layout = lm.layout("row")
    units = [start + 5 for start in layout.starts()]
    with Scale(Selection.of(layout, units)).applied(lm):
        ours = _logits(lm)
    with torch.no_grad():
        for site in layout.sites:
            module = lm.module(site.path)
            (module.weight.T if transposed(module) else module.weight)[5] = 0.0
            if getattr(module, "bias", None) is not None:
                module.bias[5] = 0.0
    assert torch.equal(_logits(lm), ours)


def test_weights_cannot_be_switched_off_by_masks() -> None:
    lm = tiny_lm("llama")
    with pytest.raises(UsageError, match="apply their edit"):
        Scale(_some(lm, "weight"), mechanism="activation").applied(lm)


def test_an_empty_selection_changes_nothing() -> None:
    lm = tiny_lm("qwen3")
    logits = _logits(lm)
    with Scale(_some(lm, "neuron", 0)).applied(lm):
        assert torch.equal(_logits(lm), logits)


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5", "roberta"])
@pytest.mark.parametrize("composed", [False, True])
@pytest.mark.parametrize("space", ["neuron", "row", "weight"])
def test_saving_and_loading_gives_the_same_logits(family: str, space: str, composed: bool, tmp_path: Path) -> None:
    lm = tiny_lm(family)
    edit = Scale(_some(lm, space), 0.3)
    whole = Compose((edit, Scale(_some(lm, "head"), 0.0, "activation"))) if composed else edit
    _file.save(whole, tmp_path / "edit", lm.identity.to_json(), {"why": "test"})
    saved = _file.load(tmp_path / "edit")
    assert saved.provenance == {"why": "test"}
    with whole.applied(lm):
        expected = _logits(lm)
    with saved.on(lm).applied(lm):
        assert torch.equal(_logits(lm), expected)


@pytest.mark.parametrize("space", ["neuron", "row", "weight"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_baking_equals_applying(dtype: torch.dtype, space: str) -> None:
    lm = tiny_lm("gemma2", dtype=dtype)
    edit = Scale(_some(lm, space, 6), 0.3)
    with edit.applied(lm):
        expected = _logits(lm)
    edit.bake(lm)
    assert torch.equal(_logits(lm), expected)


def test_offloaded_weights_are_refused_and_activations_still_edited() -> None:
    from accelerate import cpu_offload

    lm = tiny_lm("llama")
    units = _some(lm, "neuron", 20)
    with Scale(units).applied(lm):
        expected = _logits(lm)
    cpu_offload(lm.model, execution_device=torch.device("cpu"))
    with pytest.raises(CannotRun, match=r"offloaded.*mechanism 'activation'"), Scale(units).applied(lm):
        pass
    with Scale(units, mechanism="activation").applied(lm):
        assert torch.equal(_logits(lm), expected)


def test_quantised_models_refuse_weight_edits() -> None:
    lm = tiny_lm("llama")
    lm.model.config.quantization_config = {"quant_method": "toy"}
    with pytest.raises(CannotRun, match="quantised"), Scale(_some(lm, "neuron")).applied(lm):
        pass


def test_an_edit_of_another_model_is_refused(tmp_path: Path) -> None:
    lm, other = tiny_lm("llama"), tiny_lm("gpt2")
    edit = Scale(_some(lm, "neuron"))
    with pytest.raises(UsageError, match="Use them on the model they were chosen in"), edit.applied(other):
        pass
    _file.save(edit, tmp_path / "e", {"source": "x", "sha256": "a" * 64}, {})
    lm.identity = type(lm.identity)(source="y", sha256="b" * 64)
    with pytest.raises(UsageError, match="fitted on x"):
        evenhand.load_edit(tmp_path / "e", lm)
    lm.identity = type(lm.identity)(source="z", sha256="a" * 64)
    assert evenhand.load_edit(str(tmp_path / "e"), lm).describe() == edit.describe()
    heard: list[str] = []
    lm.identity, lm.notify = type(lm.identity)(source="hub/z", revision="c" * 40), heard.append
    assert evenhand.load_edit(tmp_path / "e", lm).describe() == edit.describe()
    assert "whether hub/z holds the same weights cannot be told" in heard[0]


def test_scaled_activations_cannot_be_baked() -> None:
    lm = tiny_lm("llama")
    with pytest.raises(CannotRun, match="mechanism 'weight'"):
        Scale(_some(lm, "neuron"), 0.3, "activation").bake(lm)


OWN_EDIT = '''"""Scales by a file of one's own."""
from evenhand.edits.scale import Scale


class OwnEdit(Scale):  # final for type checkers only
    """The same mechanism under another name."""
'''


def test_an_edit_of_ones_own_file_is_saved_and_found_again(tmp_path: Path) -> None:
    (tmp_path / "own_edit.py").write_text(OWN_EDIT)
    lm = tiny_lm("llama")
    edit = find.plugin("edits", str(tmp_path / "own_edit.py"))(_some(lm, "neuron"))
    _file.save(edit, tmp_path / "e", lm.identity.to_json(), {})
    assert type(_file.load(tmp_path / "e").unchecked) is type(edit)


def test_an_unwritable_place_leaves_nothing_half_written(tmp_path: Path) -> None:
    lm = tiny_lm("llama")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CannotRun, match="cannot be written"):
        _file.save(Scale(_some(lm, "neuron")), tmp_path / "file", {}, {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]
