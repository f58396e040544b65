"""Vectors per block from a GGUF control vector, as llama.cpp, repeng and `evenhand export` write it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from evenhand.core.errors import UsageError

ARCHITECTURE = "controlvector"


def directions(file: Path) -> dict[int, Float[Tensor, " d"]]:
    """Return block → the vector that is added to its output, in float32 and in order; zero vectors are left out.

    Raises UsageError for a file that holds no control vector, or whose directions are not of one length.
    """
    architecture, tensors = _opened(file)
    found = {int(name.removeprefix("direction.")): tensor for name, tensor in tensors.items()}
    steered = {layer: found[layer] for layer in sorted(found) if bool(found[layer].any())}
    if architecture != ARCHITECTURE or not steered:
        raise UsageError(
            f"{file}: holds no control vector (architecture {architecture!r}, {len(steered)} directions other than "
            "zero); expected one that llama.cpp or repeng wrote"
        )
    shapes = sorted({tuple(vector.shape) for vector in found.values()})
    if len(shapes) > 1 or len(shapes[0]) != 1:
        raise UsageError(
            f"{file}: its directions have the shapes {', '.join(map(str, shapes))}; expected vectors of one length, "
            "the width of the model's stream. Was it put together from files of different models?"
        )
    return steered


def _opened(file: Path) -> tuple[str, dict[str, Tensor]]:
    """The architecture a GGUF file names, and its directions by name, whatever number format they are in."""
    from gguf import GGUFReader
    from gguf.quants import dequantize

    try:
        reader: Any = GGUFReader(file)
        field: Any = reader.get_field("general.architecture")
        architecture = str(field.contents()) if field is not None else ""
        tensors = {
            str(each.name): torch.from_numpy(np.array(dequantize(each.data, each.tensor_type), dtype=np.float32))
            for each in reader.tensors
            if re.fullmatch(r"direction\.\d+", str(each.name))
        }
    except (OSError, ValueError, IndexError, KeyError, NotImplementedError) as error:
        raise UsageError(f"{file}: cannot be read as GGUF ({error}); give a control vector") from error
    return architecture, tensors
