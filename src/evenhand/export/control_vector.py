"""Steering vectors as the GGUF file that llama.cpp and repeng read (a "control vector").

The format, as llama.cpp's `cvector-generator` and loader and repeng's `export_gguf` have it: architecture
`controlvector`, keys `controlvector.model_hint` (the model type) and `controlvector.layer_count`, and a float32 tensor
`direction.<n>` of the stream's width, which is added at every token to the output of block n, blocks counted from 0.
Of block 0 there is none: llama.cpp refuses the file. Every other block gets one, zero where nothing is steered, since
repeng looks them all up. The file holds no strength, so ours is in the vectors. Such a file, whoever wrote it, is read
back wherever an edit's folder is (`evenhand.load_edit`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.edit import Edit
from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits import _file
from evenhand.edits._gguf import ARCHITECTURE
from evenhand.edits.compose import Compose
from evenhand.edits.steer import Steer
from evenhand.lm.family import writer_outputs
from evenhand.lm.model import LM
from evenhand.lm.states.residual import depth


def export_vector(lm: LM, edit: Path, file: Path, replace: bool = False) -> list[int]:
    """Write a saved edit as a control vector and return its layers; raises as `write` and where it is of another model.

    Raises UsageError for a file that is there already, unless `replace`.
    """
    checked = _file.load_edit(edit, lm)
    if file.exists() and not replace:
        raise UsageError(f"{file}: is there already; give another name, or say --replace")
    return write(lm, checked, file)


def write(lm: LM, edit: Edit, file: Path) -> list[int]:
    """Write the vectors an edit adds at all tokens, answers included; return the layers that are steered.

    Several such edits composed are added up. Raises CannotRun for anything else, for block 0 and the embeddings, and
    where nothing is added; UsageError for vectors that are not as long as the model's stream is wide.
    """
    if lm.kind != "causal":
        raise CannotRun(f"{lm.identity.source} is no causal model, and llama.cpp steers no other; apply the edit here")
    nothing = torch.zeros(writer_outputs(lm.module(lm.layout("head").sites[0].path)))
    vectors: dict[int, Float[Tensor, " d"]] = {}
    for part in _parts(edit):
        if part.vectors.shape[1] != len(nothing):
            raise UsageError(
                f"this edit steers a stream of width {part.vectors.shape[1]}, that of {lm.identity.source} is "
                f"{len(nothing)}; export it for the model it was fitted on"
            )
        for layer, vector in zip(part.layers, part.vectors, strict=True):
            vectors[layer] = vectors.get(layer, nothing) + part.strength * vector
    vectors = {layer: vector for layer, vector in vectors.items() if bool(vector.any())}
    if not vectors:
        raise CannotRun("this edit steers nothing, so there is no vector to write")
    last = depth(lm) - 1
    if wrong := [layer for layer in vectors if not 1 <= layer <= last]:
        raise CannotRun(
            f"this edit steers {'the embeddings' if wrong[0] < 0 else f'block {wrong[0]}'}; a control vector of this "
            f"model has places for blocks 1 to {last} only (llama.cpp refuses others). Fit it with such a window"
        )
    _save(file, lm.family.model_type, {layer: vectors.get(layer, nothing) for layer in range(1, last + 1)})
    return sorted(vectors)


def _save(file: Path, model_type: str, vectors: dict[int, Float[Tensor, " d"]]) -> None:
    """Write the file; it appears complete or not at all."""
    from gguf import GGUFWriter

    unfinished = file.with_name(f".{file.name}.part")
    try:
        writer: Any = GGUFWriter(unfinished, ARCHITECTURE)
        writer.add_string(f"{ARCHITECTURE}.model_hint", model_type)
        writer.add_uint32(f"{ARCHITECTURE}.layer_count", len(vectors))
        for layer, vector in vectors.items():
            writer.add_tensor(f"direction.{layer}", vector.numpy().astype(np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        unfinished.replace(file)
    except OSError as error:
        raise CannotRun(f"{file}: cannot be written ({error}); nothing was kept") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _parts(edit: Edit) -> Iterator[Steer]:
    if isinstance(edit, Compose):
        for part in edit.edits:
            yield from _parts(part)
    elif isinstance(edit, Steer) and edit.mode == "add" and not edit.words and not edit.prompt_only:
        yield edit
    else:
        raise CannotRun(
            f"this edit ({edit.describe()}) is no control vector: one can only add a vector at all tokens, those of "
            "the answer too. Fit `steering` with mode 'add', without words and with prompt_only = false to export it"
        )
