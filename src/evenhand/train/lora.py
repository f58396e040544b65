"""Low-rank adapters while they are trained: peft's layers, put into a model and taken out again without a trace."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from evenhand.core.errors import CannotRun
from evenhand.lm.model import LM
from evenhand.train.contracts import Values

_NAME = "default"
"""What peft calls the adapter inside its layers."""
_QUERY_VALUE = ("q_proj", "v_proj", "query", "value", "q", "v", "q_lin", "v_lin")
_FUSED = ("c_attn", "query_key_value", "qkv_proj", "Wqkv")
"""Maps that make query, key and value at once, in families without separate ones."""


def query_value_maps(lm: LM, layers: Sequence[int] | None = None) -> list[str]:
    """Return the paths of the attention's query and value maps in these layers (None: all), in the model's order.

    Where a family makes query, key and value by one map, it is that map. Raises CannotRun where there are none.
    """
    found: list[str] = []
    names = [name for name, _ in lm.model.named_modules()]
    for stack in lm.family.stacks:
        chosen = {site.layer for site in lm.layout("head").sites if site.stack == stack.name}
        for layer in sorted(chosen if layers is None else chosen & {*layers}):
            block = stack.blocks.replace("#", str(layer)) + "."
            inside = [name for name in names if name.startswith(block)]
            separate = [name for name in inside if name.rpartition(".")[2] in _QUERY_VALUE]
            found += separate or [name for name in inside if name.rpartition(".")[2] in _FUSED]
    if not found:
        raise CannotRun(
            f"{lm.identity.source}: no attention map is called {', '.join((*_QUERY_VALUE, *_FUSED))} in the layers "
            "asked for, so there is nothing to adapt"
        )
    return found


@contextmanager
def adapted(
    lm: LM, paths: Sequence[str], rank: int, alpha: float, dropout: float, seed: int
) -> Generator[dict[str, nn.Parameter]]:
    """Put trainable factors beside the linear maps at these paths; give them by name, `<path>.lora_A` and `.lora_B`.

    They are float32 whatever the model's number format. A is drawn by `seed` as peft draws it, B is 0, so that nothing
    changes at first. At the end modules, attributes, flags and random state are as before. Raises CannotRun for a
    quantised or offloaded model, whose weights could not take what is trained.
    """
    _check(lm, paths)
    originals = {path: lm.module(path) for path in paths}
    flags = [(parameter, parameter.requires_grad) for parameter in lm.model.parameters()]
    model: nn.Module = lm.model
    attributes = set(vars(model))
    try:
        _inject(lm, paths, rank, alpha, dropout, seed)
        yield {
            f"{path}.lora_{factor}": getattr(lm.module(path), f"lora_{factor}")[_NAME].weight
            for path in paths
            for factor in "AB"
        }
    finally:
        for path, original in originals.items():
            parent, _, name = path.rpartition(".")
            setattr(lm.module(parent), name, original)
        for name in set(vars(model)) - attributes:
            delattr(model, name)
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


def _check(lm: LM, paths: Sequence[str]) -> None:
    offloaded = any(lm.module(path).get_parameter("weight").device.type == "meta" for path in paths)
    if lm.quantised() or offloaded:
        how, instead = ("offloaded", "in memory") if offloaded else ("quantised", "unquantised")
        raise CannotRun(
            f"{lm.identity.source}: the model is {how}, so a trained change could not be added to its weights; load it "
            f"{instead}"
        )


def _inject(lm: LM, paths: Sequence[str], rank: int, alpha: float, dropout: float, seed: int) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=[*paths], bias="none")  # pyright: ignore[reportArgumentType]
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.default_generator.manual_seed(seed)
        warnings.filterwarnings("ignore", message="fan_in_fan_out")  # it tells that it has noticed a Conv1D
        inject_adapter_in_model(config, lm.model)
    for path in paths:
        layer: Any = lm.module(path)
        layer.train(lm.model.training)
        # In half precision a step of AdamW is mostly smaller than what the format can tell apart.
        layer.lora_A[_NAME].float()
        layer.lora_B[_NAME].float()


def factors(values: Values) -> dict[str, tuple[Float[Tensor, "rank _in"], Float[Tensor, "_out rank"]]]:
    """Return path → (A, B) from values under the names that `adapted` gives."""
    paths = [name.removesuffix(".lora_A") for name in values if name.endswith(".lora_A")]
    return {path: (values[f"{path}.lora_A"], values[f"{path}.lora_B"]) for path in paths}
