"""A low-rank edit leaves the house: as an adapter and as a checkpoint, from a real model, by the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cli.conftest import evenhand  # noqa: F401
from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits import _file
from evenhand.edits.lora import Lora
from evenhand.edits.scale import Scale
from evenhand.export import adapter as module
from evenhand.export.adapter import adapter, export_adapter
from evenhand.lm.load import load
from evenhand.lm.model import LM
from evenhand.testing.tiny import tiny_lm
from export.records import around, cell, gap_rows, run


def _lora(seed: int = 0, width: int = 32, out: int = 32) -> Lora:
    drawn = torch.Generator().manual_seed(seed)
    paths = ["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"]
    return Lora(
        {p: (torch.randn(4, width, generator=drawn) * 0.1, torch.randn(out, 4, generator=drawn) * 0.1) for p in paths},
        8.0,
    )


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
@pytest.mark.models
def test_a_real_model_in_plain_peft_and_as_a_checkpoint(tmp_path: Path, models_dir: Path, evenhand: Any) -> None:  # noqa: F811
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM

    source = models_dir / "stories260K"
    lm = load(source)
    edit = _lora(0, 64, 64)
    _file.save(edit, tmp_path / "edit", lm.identity.to_json(), {})
    said = evenhand("export", source, tmp_path / "edit", tmp_path / "adapter", "--adapter", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)["difference"] < 1e-4
    said = evenhand("export", source, tmp_path / "edit", tmp_path / "baked")
    assert said.code == 0, said.err
    assert "weights changed in 2 matrices" in said.out
    assert sorted(p.name for p in (tmp_path / "adapter").iterdir()) == [
        "README.md", "adapter_config.json", "adapter_model.safetensors",
    ]  # fmt: skip
    inputs = {"input_ids": torch.arange(3, 43).reshape(2, 20)}
    with torch.no_grad():
        plain = lm.model(**inputs).logits
        with edit.applied(lm):
            ours = lm.model(**inputs).logits
        # Neither is told where the base model is: an adapter names it, a checkpoint is one.
        in_peft = AutoPeftModelForCausalLM.from_pretrained(str(tmp_path / "adapter"))(**inputs).logits
        baked = AutoModelForCausalLM.from_pretrained(str(tmp_path / "baked"))(**inputs).logits
    apart = float((in_peft - ours).abs().max())
    assert apart < 1e-4, f"peft differs from the edit by {apart:.2g}"
    assert torch.equal(baked, ours), f"the checkpoint differs by {float((baked - ours).abs().max()):.2g}"
    assert float((ours - plain).abs().max()) > 0.1


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_the_evidence_of_a_run_stands_in_the_card_beside_the_adapter(tmp_path: Path) -> None:
    from peft import PeftModel

    lm = tiny_lm("llama")
    record = cell(gap_rows("loan", around(0.8), around(0.1), around(-0.7), around(0.0, 0.05)))
    _saved(lm, tmp_path / "run" / "edits" / record.spec.hash)
    (tmp_path / "run" / "cells").mkdir()
    (tmp_path / "run" / "cells" / f"{record.spec.hash}.json").write_text(record.model_dump_json())
    (tmp_path / "run" / "run.json").write_text(run().model_dump_json())
    done = export_adapter(lm, tmp_path / "run" / "edits" / record.spec.hash, tmp_path / "adapter", licence="mit")
    assert done.evidence
    assert str(done).endswith("\nlicence: mit")
    card = (done.folder / "README.md").read_text()
    assert "\nlibrary_name: peft\n" in card
    assert "\n- lora\n" in card
    assert "Numbers in it: 512, the low-rank factors of what is added to 2 matrices." in card
    assert f"sha256 `{done.checked.sha256}` over factors and configuration" in card
    assert "| loan | white − black | yes | 0.8 SD [0.7, 0.9] |" in card
    assert "transformers and" not in card
    assert "copy" not in card
    inputs = {"input_ids": torch.arange(3, 13).reshape(1, 10)}
    with torch.no_grad():
        in_peft = PeftModel.from_pretrained(tiny_lm("llama").model, str(done.folder))(**inputs).logits
        with _lora().applied(lm):
            assert torch.allclose(in_peft, lm.model(**inputs).logits, atol=1e-5)
    assert not export_adapter(lm, _saved(lm, tmp_path / "alone"), tmp_path / "bare").evidence
    assert "**None came with this edit.**" in (tmp_path / "bare" / "README.md").read_text()


def _saved(lm: LM, folder: Path) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    _file.save(_lora(), folder, lm.identity.to_json(), {})
    return folder


def test_what_is_no_adapter_is_refused_and_folders_are_kept(tmp_path: Path) -> None:
    lm = tiny_lm("llama")
    with pytest.raises(CannotRun, match="not low-rank"):
        adapter(lm, Scale(Selection.of(lm.layout("neuron"), [1])), tmp_path / "a")
    nothing = Lora({p: (a, b * 0) for p, (a, b) in _lora().factors.items()}, 8.0)
    with pytest.raises(CannotRun, match="adds nothing"):
        adapter(lm, nothing, tmp_path / "a")
    with pytest.raises(UsageError, match="which is not there in"):
        adapter(tiny_lm("gpt2"), _lora(), tmp_path / "a")
    quantised = tiny_lm("llama")
    quantised.model.config.quantization_config = {"quant_method": "toy"}
    quantised.model.float = lambda: pytest.fail("transformers raises a plain ValueError here")
    with pytest.raises(CannotRun, match="is quantised"):
        adapter(quantised, _lora(), tmp_path / "a")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.txt").write_text("")
    with pytest.raises(UsageError, match="is not empty"):
        adapter(lm, _lora(), tmp_path / "used")
    with pytest.raises(UsageError, match=r"no adapter_config\.json"):
        adapter(lm, _lora(), tmp_path / "used", replace=True)
    assert [p.name for p in tmp_path.iterdir()] == ["used"]


def _spoilt(spoil: Callable[[dict[str, Any]], None]) -> Callable[[LM, Lora, Path], None]:
    """Write an adapter and then spoil its settings."""

    def written(lm: LM, edit: Lora, folder: Path, write: Any = module._write) -> None:
        write(lm, edit, folder)
        config = folder / "adapter_config.json"
        settings = json.loads(config.read_text())
        spoil(settings)
        config.write_text(json.dumps(settings))

    return written


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_adapter_that_peft_reads_otherwise_is_refused_however_little_it_changes(
    dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = tiny_lm("llama", dtype=dtype)
    edit = Lora({path: (a, b * 0.03) for path, (a, b) in _lora().factors.items()}, 8.0)
    done = adapter(lm, edit, tmp_path / "good")
    assert done.checked.difference < done.checked.effect / 10 < 0.01, (
        "the edit was to be smaller than what half precision rounds"
    )
    for spoil, told in {
        lambda settings: settings.update(lora_alpha=9.0): "is scaled by 2.25, not by 2",
        lambda settings: settings.update(target_modules=[[*edit.factors][1]]): "peft adapts 1 maps",
        lambda settings: settings.update(target_modules=[*edit.factors, "o_proj"]): "peft adapts 5 maps",
    }.items():
        monkeypatch.setattr(module, "_write", _spoilt(spoil))
        with pytest.raises(CannotRun, match=f"not the edit: .*{told}"):
            adapter(lm, edit, tmp_path / "bad")
        monkeypatch.undo()
    monkeypatch.setattr(module, "_PREFIX", "base_model.wrong.")
    with pytest.raises(CannotRun, match="no factors, or others"):
        adapter(lm, edit, tmp_path / "bad")
    assert [p.name for p in tmp_path.iterdir()] == ["good"]
