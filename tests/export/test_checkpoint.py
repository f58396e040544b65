"""Export: plain transformers loads the checkpoint and gives the edited model's logits; failures leave nothing."""

from __future__ import annotations

import copy
import resource
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from evenhand.core.component import Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits import _file
from evenhand.edits.scale import Scale
from evenhand.export import checkpoint as module
from evenhand.export.card import ModelCard
from evenhand.export.checkpoint import changed_weights, checkpoint, export, probe_logits
from evenhand.lm.load import Loading, load
from evenhand.lm.model import LM
from evenhand.testing.tiny import tiny_lm
from export.records import around, cell, gap_rows, run

FAMILIES = {"gpt2": "float32", "llama": "bfloat16", "t5": "float32", "bert": "float32", "mixtral": "float32"}
PLAIN = """
import sys, warnings
warnings.simplefilter("ignore")
sys.modules["evenhand"] = None
import torch, transformers
from pathlib import Path
torch.set_num_threads(1)
for folder in map(Path, sys.argv[1:]):
    auto = {"t5": "AutoModelForSeq2SeqLM", "bert": "AutoModelForMaskedLM"}.get(folder.name, "AutoModelForCausalLM")
    model = getattr(transformers, auto).from_pretrained(folder).eval()
    transformers.AutoTokenizer.from_pretrained(folder)("Hello")
    inputs = torch.load(folder.parent / f"{folder.name}.inputs")
    with torch.inference_mode():
        torch.save(model(**inputs).logits.float(), folder.parent / f"{folder.name}.logits")
assert not any(name.startswith("evenhand.") for name in sys.modules)
"""


def _edit(lm: LM, factor: float = 0.0, mechanism: Any = "weight") -> Scale:
    layout = lm.layout("head" if lm.family.moe else "neuron")
    return Scale(Selection.of(layout, [1, layout.size // 2, layout.size - 2]), factor, mechanism)


def _loaded(name: str, dtype: Any, folder: Path) -> LM:
    """A tiny model as loading gives it: `.to(bfloat16)` alone would also round its rotary frequencies."""
    lm = tiny_lm(name)
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return load(folder, Loading(dtype=dtype))


def _inputs(lm: LM) -> dict[str, torch.Tensor]:
    ids = torch.randint(0, 300, (3, 9), generator=torch.Generator().manual_seed(7))
    more = {"decoder_input_ids": ids.flip(0)} if lm.kind == "encoder-decoder" else {}
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **more}


def test_plain_transformers_gives_the_same_logits(tmp_path: Path) -> None:
    wanted: dict[str, torch.Tensor] = {}
    for name, dtype in FAMILIES.items():
        lm = _loaded(name, dtype, tmp_path / "base" / name)
        edit, inputs = _edit(lm, 0.5 if name == "t5" else 0.0), _inputs(lm)
        with torch.inference_mode():
            before = lm.model(**inputs).logits.float()
            with edit.applied(lm):
                wanted[name] = lm.model(**inputs).logits.float()
        assert not torch.equal(before, wanted[name])
        done = checkpoint(lm, edit, tmp_path / name, ModelCard())
        assert done.checked.difference == 0.0
        assert done.checked.effect > 0
        torch.save(inputs, tmp_path / f"{name}.inputs")
    folders = [str(tmp_path / name) for name in FAMILIES]
    subprocess.run([sys.executable, "-c", PLAIN, *folders], check=True, timeout=200)
    for name in FAMILIES:
        assert torch.equal(torch.load(tmp_path / f"{name}.logits"), wanted[name]), name


def test_a_checkpoint_is_whole_and_the_model_in_memory_untouched(tmp_path: Path) -> None:
    lm = tiny_lm("gpt2")
    edit = _edit(lm)
    before, drawn = copy.deepcopy(lm.model.state_dict()), torch.get_rng_state()
    done = checkpoint(lm, edit, tmp_path / "deep" / "out", ModelCard())
    assert all(torch.equal(before[name], weight) for name, weight in lm.model.state_dict().items())
    assert torch.equal(drawn, torch.get_rng_state())
    assert not lm.edits
    assert sorted(p.name for p in done.folder.iterdir()) == [
        "README.md", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
        "tokenizer_config.json",
    ]  # fmt: skip
    assert [p.name for p in done.folder.parent.iterdir()] == ["out"], "no scratch folder stays behind"
    assert len({p.stat().st_mode for p in done.folder.iterdir()}) == 1, "who may read the card may read the weights"
    again = load(done.folder)
    assert again.model.lm_head.weight is again.model.transformer.wte.weight, "tied weights stay tied"
    assert again.identity.sha256 == done.checked.sha256
    changes = changed_weights(lm.model, again.model)
    assert len(changes) == done.checked.matrices == 3
    assert sum(changes.values()) == done.checked.entries == 3 * 32
    assert "96 weights changed in 3 matrices" in str(done)
    assert "card says so" in str(done)


@pytest.mark.models
def test_a_real_model(tmp_path: Path, models_dir: Path) -> None:
    lm = load(models_dir / "stories260K", Loading(dtype="bfloat16"))
    done = checkpoint(lm, _edit(lm), tmp_path / "out", ModelCard())
    assert done.checked.difference == 0.0
    assert load(done.folder, Loading(dtype="auto")).identity.dtype == "bfloat16"


def test_an_activation_edit_that_only_switches_off_can_be_exported(tmp_path: Path) -> None:
    lm = tiny_lm("llama")
    assert checkpoint(lm, _edit(lm, mechanism="activation"), tmp_path / "a", ModelCard()).checked.difference < 1e-5
    with pytest.raises(CannotRun, match="activations"):
        checkpoint(lm, _edit(lm, 0.3, "activation"), tmp_path / "b", ModelCard())
    assert not (tmp_path / "b").exists()


def test_edits_that_cannot_be_baked_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("llama")
    with pytest.raises(CannotRun, match="changes no weight"):
        checkpoint(lm, Scale(Selection.of(lm.layout("neuron"), [])), tmp_path / "out", ModelCard())
    with _edit(lm).applied(lm), pytest.raises(UsageError, match="applied to this model"):
        checkpoint(lm, _edit(lm), tmp_path / "out", ModelCard())
    monkeypatch.setattr(Scale, "run_time_only", True)
    with pytest.raises(CannotRun, match="only while the model runs"):
        checkpoint(lm, _edit(lm), tmp_path / "out", ModelCard())
    assert not list(tmp_path.iterdir())


def test_models_that_cannot_be_baked_are_refused(tmp_path: Path) -> None:
    lm = tiny_lm("llama")
    edit = _edit(lm)
    lm.model.config.quantization_config = {"bits": 4}
    with pytest.raises(CannotRun, match="quantised"):
        checkpoint(lm, edit, tmp_path / "out", ModelCard())
    del lm.model.config.quantization_config
    lm.model.model.layers[1].to("meta")
    with pytest.raises(CannotRun, match="offloaded"):
        checkpoint(lm, edit, tmp_path / "out", ModelCard())


def test_a_target_in_use_is_refused_unless_replaced(tmp_path: Path) -> None:
    lm = tiny_lm("llama")
    target = tmp_path / "out"
    target.mkdir()
    checkpoint(lm, _edit(lm), target, ModelCard())
    with pytest.raises(UsageError, match="not empty"):
        checkpoint(lm, _edit(lm, 0.5), target, ModelCard())
    (target / "mine.txt").write_text("old")
    done = checkpoint(lm, _edit(lm, 0.5), target, ModelCard(), replace=True)
    assert not (target / "mine.txt").exists()
    with _edit(lm, 0.5).applied(lm):
        assert torch.equal(probe_logits(load(done.folder)), probe_logits(lm))
    other = tmp_path / "photos"
    other.mkdir()
    (other / "me.jpg").write_text("")
    with pytest.raises(UsageError, match="no checkpoint"):
        checkpoint(lm, _edit(lm), other, ModelCard(), replace=True)
    with pytest.raises(UsageError, match="is a file"):
        checkpoint(lm, _edit(lm), other / "me.jpg", ModelCard())
    itself = load(target)
    with pytest.raises(UsageError, match="the model itself"):
        checkpoint(itself, _edit(itself), target, ModelCard(), replace=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "photos"]


@contextmanager
def _small_disk(size: int) -> Generator[None]:
    """Let no file grow beyond `size` bytes: writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    lm = tiny_lm("llama")
    old = checkpoint(lm, _edit(lm), tmp_path / "out", ModelCard())
    for target, replace in ((tmp_path / "new", False), (old.folder, True)):
        with pytest.raises(CannotRun, match=r"nothing was kept"), _small_disk(30_000):
            checkpoint(lm, _edit(lm, 0.5), target, ModelCard(), replace)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert load(old.folder).identity.sha256 == old.checked.sha256


def test_a_folder_that_cannot_be_made_or_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("llama")
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotRun, match="nothing was kept"):
        checkpoint(lm, _edit(lm), tmp_path / "file" / "out", ModelCard())
    old = checkpoint(lm, _edit(lm), tmp_path / "out", ModelCard())
    rename = Path.rename

    def broken(self: Path, to: Path) -> Path:
        if self.suffix == ".part":
            raise PermissionError("no")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", broken)
    with pytest.raises(CannotRun, match="nothing was kept"):
        checkpoint(lm, _edit(lm, 0.5), tmp_path / "out", ModelCard(), replace=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "out"]
    assert load(old.folder).identity.sha256 == old.checked.sha256


def test_saving_the_wrong_weights_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("llama")
    unedited, save = copy.deepcopy(lm.model), type(lm.model).save_pretrained
    monkeypatch.setattr(type(lm.model), "save_pretrained", lambda self, folder: save(unedited, folder))
    with pytest.raises(CannotRun, match="is not the edited model: 3 weights differ"):
        checkpoint(lm, _edit(lm), tmp_path / "out", ModelCard())
    assert not list(tmp_path.iterdir())


def test_too_little_memory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm("llama")

    def full(model: object) -> object:
        raise torch.OutOfMemoryError("no")

    monkeypatch.setattr(module.copy, "deepcopy", full)
    with pytest.raises(CannotRun, match="second copy"):
        checkpoint(lm, _edit(lm), tmp_path / "out", ModelCard())


def test_generation_settings_that_contradict_each_other(tmp_path: Path) -> None:
    lm = tiny_lm("llama")
    lm.model.generation_config.do_sample = False
    lm.model.generation_config.temperature = 0.5
    with pytest.raises(CannotRun, match="will not save"):
        checkpoint(lm, _edit(lm), tmp_path / "out", ModelCard())
    assert not list(tmp_path.iterdir())


def test_a_saved_edit_brings_the_evidence_of_its_run(tmp_path: Path) -> None:
    lm = _loaded("llama", "float32", tmp_path / "base")
    record = cell(gap_rows("loan", around(0.8), around(0.1), around(-0.7), around(0.0, 0.05)))
    folder = tmp_path / "run" / "edits" / "abc"
    _file.save(_edit(lm), folder, lm.identity.to_json(), {"method": "contrast"})
    assert not export(lm, folder, tmp_path / "alone").evidence
    assert "method: contrast" in (tmp_path / "alone" / "README.md").read_text()
    (tmp_path / "run" / "cells").mkdir()
    (tmp_path / "run" / "cells" / "abc.json").write_text(record.model_dump_json())
    (tmp_path / "run" / "run.json").write_text(run().model_dump_json())
    done = export(lm, folder, tmp_path / "out")
    assert done.evidence
    assert "| loan | white − black | yes |" in (tmp_path / "out" / "README.md").read_text()
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(CannotRun, match="damaged"):
        export(lm, folder, tmp_path / "third")
    with pytest.raises(UsageError, match="was fitted on"):
        export(_loaded("gpt2", "float32", tmp_path / "other"), folder, tmp_path / "fourth")
