"""One row per architecture: where its blocks are and which matrices write to the residual stream.

To add an architecture, add a row to `FAMILIES` (or pass a `Family` to `load`); it is verified when a model is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import nn

from evenhand.core.component import Layout, Site, Space
from evenhand.core.errors import CannotRun, nearest

Kind = Literal["causal", "masked", "encoder-decoder"]


@dataclass(frozen=True, slots=True)
class Stack:
    """A run of blocks: `#` in `blocks` is the block index; writers are paths inside a block."""

    blocks: str
    mlp: str | None
    attention: tuple[str, ...]
    name: str = "decoder"
    sees_encoder: tuple[str, ...] = ()
    """Linear maps in a decoder's block that are applied to what the encoder hands over, as regular expressions."""


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture, named by its `config.model_type`."""

    model_type: str
    kind: Kind
    stacks: tuple[Stack, ...]
    input_embedding: str
    positions: bool = True
    """Whether the model takes `position_ids`; they are always passed where it does."""
    positions_after_padding: bool = False
    """Whether positions are counted from one past the padding id (RoBERTa) instead of from 0."""
    holes: bool = True
    """Whether padding inside a sequence is tolerated (False: sliding windows count slots, not positions)."""
    moe: bool = False


def _causal(model_type: str, blocks: str, mlp: str | None, attention: str, embedding: str, **more: bool) -> Family:
    return Family(model_type, "causal", (Stack(blocks, mlp, (attention,)),), embedding, **more)


def _llama_like(model_type: str, **more: bool) -> Family:
    return _causal(model_type, "model.layers.#", "mlp.down_proj", "self_attn.o_proj", "model.embed_tokens", **more)


def _bert_like(model_type: str, name: str, **more: bool) -> Family:
    stack = Stack(f"{name}.encoder.layer.#", "output.dense", ("attention.output.dense",), "encoder")
    return Family(model_type, "masked", (stack,), f"{name}.embeddings.word_embeddings", **more)


def _moe(model_type: str) -> Family:
    return _causal(model_type, "model.layers.#", None, "self_attn.o_proj", "model.embed_tokens", moe=True)


_T5 = Family(
    "t5",
    "encoder-decoder",
    (
        Stack("encoder.block.#", "layer.1.DenseReluDense.wo", ("layer.0.SelfAttention.o",), "encoder"),
        Stack(
            "decoder.block.#",
            "layer.2.DenseReluDense.wo",
            ("layer.0.SelfAttention.o", "layer.1.EncDecAttention.o"),
            sees_encoder=(r"layer\.1\.EncDecAttention\.[kv]",),
        ),
    ),
    "shared",
    positions=False,
)

FAMILIES: dict[str, Family] = {
    row.model_type: row
    for row in (
        _causal("gpt2", "transformer.h.#", "mlp.c_proj", "attn.c_proj", "transformer.wte"),
        _causal("gpt_neo", "transformer.h.#", "mlp.c_proj", "attn.attention.out_proj", "transformer.wte",
                holes=False),
        _causal("gpt_neox", "gpt_neox.layers.#", "mlp.dense_4h_to_h", "attention.dense", "gpt_neox.embed_in"),
        _causal("opt", "model.decoder.layers.#", "fc2", "self_attn.out_proj", "model.decoder.embed_tokens"),
        _llama_like("llama"),
        _llama_like("mistral", holes=False),
        _llama_like("qwen2"),
        _llama_like("qwen3"),
        _llama_like("gemma2", holes=False),
        _llama_like("phi3", holes=False),
        _moe("mixtral"),
        _moe("qwen3_moe"),
        _bert_like("bert", "bert"),
        _bert_like("roberta", "roberta", positions_after_padding=True),
        _T5,
    )
}  # fmt: skip


def family_row(model_type: str) -> Family:
    """Return the row of an architecture, or raise saying what is looked for and how to add a row."""
    if model_type in FAMILIES:
        return FAMILIES[model_type]
    raise CannotRun(
        f"unknown architecture {model_type!r}{nearest(model_type, FAMILIES)}. evenhand must know where its blocks are "
        "(such as 'model.layers.#'), and in each block the matrix that ends the MLP (such as 'mlp.down_proj') and the "
        "one that ends attention (such as 'self_attn.o_proj'). Pass `load(..., family=Family(...))`, or add a row to "
        f"FAMILIES in evenhand/lm/family.py. Known: {', '.join(sorted(FAMILIES))}"
    )


def family_of(model: Any, given: Family | None = None) -> Family:
    """Return the row for a model, verified: its module paths exist and its shapes multiply out.

    A masked model saved without its language-model head is the same encoder, one level of names less deep.
    """
    family = given or family_row(str(model.config.model_type))
    if family.kind == "masked" and model.get_output_embeddings() is None:
        family = _headless(family, f"{model.base_model_prefix}.")
    for space in ("neuron", "head") if not family.moe else ("head",):
        layout_of(model, family, space)
    return family


def _headless(family: Family, prefix: str) -> Family:
    stacks = tuple(replace(stack, blocks=stack.blocks.removeprefix(prefix)) for stack in family.stacks)
    return replace(family, stacks=stacks, input_embedding=family.input_embedding.removeprefix(prefix))


def layout_of(model: Any, family: Family, space: Space) -> Layout:
    """Return every site of a space, sizes read from the weights and checked against the config."""
    if space in ("neuron", "row", "weight") and family.moe:
        raise CannotRun(
            f"{family.model_type} is a mixture of experts: its experts are fused into one parameter, so neurons, rows "
            "and weights cannot be edited; use space 'head' or 'value'"
        )
    if space in ("row", "weight"):
        return Layout(space, tuple(_maps(model, family, space)))
    sites: list[Site] = []
    for stack in family.stacks:
        for layer, block in _blocks(model, stack, family):
            suffixes = (stack.mlp,) if space == "neuron" else stack.attention
            for suffix in (s for s in suffixes if s):
                path = f"{block}.{suffix}"
                sites.append(_site(model, path, layer, stack.name, space, family))
    return Layout(space, tuple(sites))


def _maps(model: Any, family: Family, space: Space) -> Iterator[Site]:
    """Every linear map in the blocks, in their order; for `row` also those outside, but not the output embedding."""
    head = model.get_output_embeddings()
    linear = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear) or transposed(m)}
    maps = {name: module for name, module in linear.items() if module is not head}
    inside: set[str] = set()
    for stack in family.stacks:
        for layer, block in _blocks(model, stack, family):
            for path in (name for name in maps if name.startswith(f"{block}.")):
                inside.add(path)
                within = path.removeprefix(f"{block}.")
                sees = "encoder" if any(re.fullmatch(each, within) for each in stack.sees_encoder) else ""
                yield Site(path, layer, _units(maps[path], space), 1, stack.name, sees)
    if space == "row":
        yield from (Site(path, 0, _units(maps[path], space), 1, "outside") for path in maps if path not in inside)


def _units(module: Any, space: Space) -> int:
    inputs, outputs = writer_inputs(module), writer_outputs(module)
    return outputs if space == "row" else inputs * outputs


def _blocks(model: Any, stack: Stack, family: Family) -> list[tuple[int, str]]:
    pattern = re.compile(re.escape(stack.blocks).replace(r"\#", "#").replace("#", r"(\d+)") + "$")
    found = [(int(m.group(1)), name) for name, _ in model.named_modules() if (m := pattern.match(name))]
    if not found:
        raise CannotRun(
            f"{family.model_type}: no module matches {stack.blocks!r} in {type(model).__name__}; load it with its "
            "language-model head, or correct its row in evenhand/lm/family.py"
        )
    return sorted(found)


def _site(model: Any, path: str, layer: int, stack: str, space: Space, family: Family) -> Site:
    try:
        module: nn.Module = model.get_submodule(path)
    except AttributeError as error:
        raise CannotRun(f"{family.model_type}: there is no module {path!r} ({error})") from error
    if not hasattr(module, "weight"):
        raise CannotRun(f"{family.model_type}: {path!r} ({type(module).__name__}) has no weight")
    width_in = writer_inputs(module)
    if space != "head":
        return Site(path, layer, width_in, 1, stack)
    heads = int(getattr(model.config, "num_attention_heads", 0) or getattr(model.config, "num_heads", 0))
    if heads <= 0 or width_in % heads:
        raise CannotRun(
            f"{family.model_type}: {path!r} has {width_in} input columns, not a multiple of {heads} attention heads"
        )
    return Site(path, layer, heads, width_in // heads, stack)


def transposed(module: Any) -> bool:
    """Whether the weight is [in, out] (GPT-2's Conv1D) instead of [out, in]."""
    return type(module).__name__ == "Conv1D"


def writer_inputs(module: Any) -> int:
    """Number of input columns of a linear map."""
    in_features = getattr(module, "in_features", None)
    return int(in_features) if in_features is not None else int(module.weight.shape[0 if transposed(module) else 1])


def writer_outputs(module: Any) -> int:
    """Number of output rows of a linear map."""
    out_features = getattr(module, "out_features", None)
    return int(out_features) if out_features is not None else int(module.weight.shape[1 if transposed(module) else 0])
