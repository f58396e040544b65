"""A control vector is what llama.cpp and repeng expect, and comes back as the edit it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits import _file
from evenhand.edits.compose import Compose
from evenhand.edits.steer import Steer
from evenhand.export.control_vector import export_vector, write
from evenhand.lm.scoring.forward import score_options
from evenhand.testing.tiny import tiny_lm

VECTORS = torch.randn(2, 32, generator=torch.Generator().manual_seed(1))
CASE = [Case("a", "How many apples?", "x", options=(" 1", " 2 b"))]


def test_the_file_says_what_other_tools_look_for_and_steers_the_same(tmp_path: Path) -> None:
    from gguf import GGUFReader

    lm = tiny_lm("llama")
    edit, file = Compose((Steer((1,), VECTORS[:1], strength=0.5), Steer((1,), VECTORS[1:]))), tmp_path / "v.gguf"
    _file.save(edit, tmp_path / "edit", lm.identity.to_json(), {})
    assert export_vector(lm, tmp_path / "edit", file) == [1]
    reader: Any = GGUFReader(file)
    assert reader.get_field("general.architecture").contents() == "controlvector"
    assert reader.get_field("controlvector.model_hint").contents() == "llama"
    assert reader.get_field("controlvector.layer_count").contents() == 2
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    assert set(tensors) == {"direction.1", "direction.2"}
    assert all(each.data.dtype == np.float32 and each.data.shape == (32,) for each in tensors.values())
    scores = []
    again = _file.load_edit(file, lm)
    for each in (edit, again):
        with each.applied(lm):
            scores.append(score_options(lm, CASE)[0][0])
    torch.testing.assert_close(scores[0], scores[1], atol=1e-5, rtol=1e-5)
    assert isinstance(again, Steer)
    assert again.layers == (1,), "zero vectors are left out"
    with pytest.raises(UsageError, match="is there already"):
        export_vector(lm, tmp_path / "edit", file)


def test_what_is_no_control_vector_is_refused(tmp_path: Path) -> None:
    lm, file = tiny_lm("gpt2"), tmp_path / "v.gguf"
    for edit, why in {
        Steer((1,), VECTORS[:1], words=("lamp",)): "no control vector",
        Steer((1,), VECTORS[:1], VECTORS[1:], mode="level"): "no control vector",
        Steer((0,), VECTORS[:1]): "steers block 0",
        Steer((-1,), VECTORS[:1]): "steers the embeddings",
        Compose(()): "steers nothing",
        Steer((1,), VECTORS[:1], strength=0.0): "steers nothing",
        Compose((Steer((1,), VECTORS[:1]), Steer((1,), -VECTORS[:1]))): "steers nothing",
    }.items():
        with pytest.raises(CannotRun, match=why):
            write(lm, edit, file)
    with pytest.raises(CannotRun, match="no causal model"):
        write(tiny_lm("bert"), Steer((1,), VECTORS[:1]), file)
    with pytest.raises(UsageError, match="of width 5, that of"):
        write(lm, Steer((1,), torch.ones(1, 5)), file)
    assert not list(tmp_path.iterdir())


def _written(file: Path, vectors: dict[str, Any], architecture: str = "controlvector") -> Path:
    from gguf import GGUFWriter

    writer: Any = GGUFWriter(file, architecture)
    for name, vector in vectors.items():
        writer.add_tensor(name, np.asarray(vector))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def test_a_file_of_another_tool_is_an_edit_where_edits_are_read(tmp_path: Path) -> None:
    lm, half = tiny_lm("llama"), VECTORS.numpy().astype(np.float16)
    file = _written(tmp_path / "v.gguf", {"direction.2": half[0], "direction.1": half[1], "else": half[0][:3]})
    found = _file.load_edit(file, lm)
    assert isinstance(found, Steer)
    assert (found.layers, found.mode, found.strength, found.words) == ((1, 2), "add", 1.0, ())
    torch.testing.assert_close(found.vectors, VECTORS.half().float().flip(0), rtol=0, atol=0)
    _file.save(found, tmp_path / "edit", lm.identity.to_json(), {})
    assert torch.equal(_file.load(tmp_path / "edit").unchecked.tensors()["vectors"], found.vectors)
    narrow = _file.load_edit(_written(tmp_path / "narrow.gguf", {"direction.1": half[0][:5]}), lm)
    with pytest.raises(UsageError, match="width 5"), narrow.applied(lm):
        score_options(lm, CASE)


def test_a_file_that_is_no_control_vector_is_told(tmp_path: Path) -> None:
    vector = VECTORS[0].numpy()
    ragged = {"direction.1": vector, "direction.2": vector[:5]}
    for vectors, architecture, why in (
        (ragged, "controlvector", r"the shapes \(5,\), \(32,\); expected vectors of one length"),
        ({"direction.1": VECTORS.numpy()}, "controlvector", r"the shapes \(2, 32\)"),
        ({"direction.1": vector * 0}, "controlvector", "0 directions other than zero"),
        ({"direction.1": vector}, "llama", "architecture 'llama'"),
        ({"direction.1": vector.astype(np.int32)}, "controlvector", "cannot be read as GGUF"),
    ):
        with pytest.raises(UsageError, match=why):
            _file.load(_written(tmp_path / "v.gguf", vectors, architecture))
    whole = _written(tmp_path / "v.gguf", {"direction.1": vector}).read_bytes()
    for end in (0, 2, 20, 60, len(whole) - 40):
        (tmp_path / "cut.gguf").write_bytes(whole[:end])
        with pytest.raises(UsageError, match="cannot be read as GGUF"):
            _file.load(tmp_path / "cut.gguf")
    with pytest.raises(UsageError, match="cannot be read as GGUF"):
        _file.load(tmp_path / "absent.gguf")
