"""Steering vectors as the GGUF file that llama.cpp and repeng read (a "control vector").

The format, as llama.cpp's `cvector-generator` and loader and repeng's `export_gguf` have it: architecture
`controlvector`, keys `controlvector.model_hint` (the model type) and `controlvector.layer_count`, and a float32 tensor
`direction.<n>` of the stream's width, which is added at every token to the output of block n, blocks counted from 0.
Of block 0 there is none: llama.cpp refuses the file. Every other block gets one, zero where nothing is steered, since
repeng looks them all up. The file holds no strength, so ours is in the vectors.
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
from evenhand.edits.compose import Compose
from evenhand.edits.steer import Steer
from evenhand.lm.model import LM
from evenhand.lm.states.residual import depth

_ARCHITECTURE = "controlvector"


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

    Several such edits composed are added up. Raises CannotRun for anything else, and for block 0 and the embeddings.
    """
    if lm.kind != "causal":
        raise CannotRun(f"{lm.identity.source} is no causal model, and llama.cpp steers no other; apply the edit here")
    vectors: dict[int, Float[Tensor, " d"]] = {}
    for part in _parts(edit):
        for layer, vector in zip(part.layers, part.vectors, strict=True):
            vectors[layer] = vectors.get(layer, torch.zeros_like(vector)) + part.strength * vector
    if not vectors:
        raise CannotRun("this edit steers nothing, so there is no vector to write")
    last = depth(lm) - 1
    if wrong := [layer for layer in vectors if not 1 <= layer <= last]:
        raise CannotRun(
            f"this edit steers {'the embeddings' if wrong[0] < 0 else f'block {wrong[0]}'}; a control vector of this "
            f"model has places for blocks 1 to {last} only (llama.cpp refuses others). Fit it with such a window"
        )
    nothing = torch.zeros_like(next(iter(vectors.values())))
    _save(file, lm.family.model_type, {layer: vectors.get(layer, nothing) for layer in range(1, last + 1)})
    return sorted(vectors)


def _save(file: Path, model_type: str, vectors: dict[int, Float[Tensor, " d"]]) -> None:
    """Write the file; it appears complete or not at all."""
    from gguf import GGUFWriter

    unfinished = file.with_name(f".{file.name}.part")
    try:
        writer: Any = GGUFWriter(unfinished, _ARCHITECTURE)
        writer.add_string(f"{_ARCHITECTURE}.model_hint", model_type)
        writer.add_uint32(f"{_ARCHITECTURE}.layer_count", len(vectors))
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


def read(file: Path) -> Steer:
    """Read a control vector, ours or another tool's, as an edit of strength 1; zero vectors are left out.

    Raises UsageError for a file that holds none.
    """
    from gguf import GGUFReader

    try:
        reader: Any = GGUFReader(file)
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: cannot be read as GGUF ({error}); give a control vector") from error
    field: Any = reader.get_field("general.architecture")
    architecture = str(field.contents()) if field is not None else ""
    named = {str(tensor.name): tensor for tensor in reader.tensors}
    found = {
        int(name.removeprefix("direction.")): torch.from_numpy(np.array(tensor.data, dtype=np.float32))
        for name, tensor in named.items()
        if name.removeprefix("direction.").isdigit()
    }
    steered = {layer: vector for layer, vector in sorted(found.items()) if bool(vector.any())}
    if architecture != _ARCHITECTURE or not steered:
        raise UsageError(
            f"{file}: holds no control vector (architecture {architecture!r}, {len(steered)} directions other than "
            "zero); expected one that llama.cpp or repeng wrote"
        )
    return Steer(tuple(steered), torch.stack(list(steered.values())))
