"""Readouts as bytes and back: safetensors for the numbers, JSON in its header for the rest."""

from __future__ import annotations

import json
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from evenhand.core.readout import Readout
from evenhand.core.scenario import Scenario

_META = "evenhand_readouts"


def encode(readouts: list[Readout]) -> bytes:
    """Return readouts as one safetensors file; their cases are named by id."""
    tensors: dict[str, Tensor] = {}
    described: list[dict[str, Any]] = []
    for i, readout in enumerate(readouts):
        described.append(
            {"kind": readout.kind, "groups": readout.groups, "ddof": readout.ddof, "answers": readout.answers,
             "notes": readout.notes, "cases": [case.id for case in readout.cases],
             "shares": list(readout.shares), "arrays": list(readout.arrays)}
        )  # fmt: skip
        parts = {"value": readout.value, "mass": readout.mass, "row": readout.row, "defined": readout.defined}
        parts |= {f"shares.{name}": share for name, share in readout.shares.items()}
        parts |= {f"arrays.{name}": array for name, array in readout.arrays.items()}
        tensors |= {f"{i}.{name}": tensor.contiguous().clone() for name, tensor in parts.items()}
    text = json.dumps(described, ensure_ascii=False).encode()
    tensors[_META] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    return save(tensors)


def decode(data: bytes, scenario: Scenario) -> list[Readout]:
    """Read what `encode` wrote; raises ValueError when it is damaged or was read from other cases."""
    try:
        tensors = load(data)
        described: list[dict[str, Any]] = json.loads(tensors[_META].numpy().tobytes())
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"not a file of readouts: {error}") from error
    known = {case.id: case for case in scenario.cases}
    readouts: list[Readout] = []
    for i, about in enumerate(described):
        own = {name.removeprefix(f"{i}."): t for name, t in tensors.items() if name.startswith(f"{i}.")}
        if any(name not in known for name in about["cases"]):
            raise ValueError("it was read from other cases")
        readouts.append(
            Readout(
                kind=about["kind"],
                cases=tuple(known[name] for name in about["cases"]),
                groups=tuple(about["groups"]),
                value=own["value"],
                mass=own["mass"],
                row=own["row"],
                shares={name: own[f"shares.{name}"] for name in about["shares"]},
                defined=own["defined"],
                ddof=about["ddof"],
                arrays={name: own[f"arrays.{name}"] for name in about["arrays"]},
                answers=tuple(tuple(each) for each in about["answers"]),
                notes=about["notes"],
            )
        )
    return readouts
