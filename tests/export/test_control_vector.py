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
from evenhand.export.control_vector import export_vector, read, write
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
    for each in (edit, read(file)):
        with each.applied(lm):
            scores.append(score_options(lm, CASE)[0][0])
    torch.testing.assert_close(scores[0], scores[1], atol=1e-5, rtol=1e-5)
    assert read(file).layers == (1,)
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
    }.items():
        with pytest.raises(CannotRun, match=why):
            write(lm, edit, file)
    with pytest.raises(CannotRun, match="no causal model"):
        write(tiny_lm("bert"), Steer((1,), VECTORS[:1]), file)
    assert not list(tmp_path.iterdir())
    file.write_bytes(b"no")
    with pytest.raises(UsageError, match="cannot be read as GGUF"):
        read(file)
