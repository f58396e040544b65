"""Importance of units by the full softmax, unit by unit, as in the paper's code: slow and obvious.

One sequence, no batch. Every family is written out by hand: where its blocks, norms and projections are, and what
stands before and after its output embedding. The final norm's size is that of the last layer's output, the same for
all units.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Names:
    """Paths in one family: blocks, writers inside a block, final norm, projection behind it."""

    blocks: str
    attention: tuple[str, ...]
    mlp: str
    norm: str
    project: str = ""
    after_attention: str = ""
    after_mlp: str = ""


_LLAMA = Names("model.layers", ("self_attn.o_proj",), "mlp.down_proj", "model.norm")
NAMES = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "phi3": _LLAMA,
    "gemma2": Names("model.layers", ("self_attn.o_proj",), "mlp.down_proj", "model.norm", "",
                    "post_attention_layernorm", "post_feedforward_layernorm"),
    "gpt2": Names("transformer.h", ("attn.c_proj",), "mlp.c_proj", "transformer.ln_f"),
    "gpt_neo": Names("transformer.h", ("attn.attention.out_proj",), "mlp.c_proj", "transformer.ln_f"),
    "gpt_neox": Names("gpt_neox.layers", ("attention.dense",), "mlp.dense_4h_to_h", "gpt_neox.final_layer_norm"),
    "opt": Names("model.decoder.layers", ("self_attn.out_proj",), "fc2", "model.decoder.final_layer_norm",
                 "model.decoder.project_out"),
    "t5": Names("decoder.block", ("layer.0.SelfAttention.o", "layer.1.EncDecAttention.o"),
                "layer.2.DenseReluDense.wo", "decoder.final_layer_norm"),
}  # fmt: skip


@dataclass
class Loop:
    """One forward pass at one position, written down."""

    model: Any
    names: Names
    inputs: dict[str, Any]
    place: int
    seen: dict[str, Tensor] = field(default_factory=dict)
    logits: Tensor = field(default_factory=lambda: torch.empty(0))
    """The model's own logits at the position."""

    def run(self) -> None:
        """Forward with hooks."""
        handles: list[Any] = []

        def keep(path: str, module: Any) -> None:
            def before(m: Any, args: Any, kwargs: Any) -> None:
                x = args[0] if args else kwargs["hidden_states"]
                self.seen[f"{path}:in"] = x.reshape(-1, x.shape[-1])[self.place].detach()

            def after(m: Any, args: Any, out: Any) -> None:
                x = out[0] if isinstance(out, tuple) else out
                self.seen[f"{path}:out"] = x.reshape(-1, x.shape[-1])[self.place].detach()

            handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            handles.append(module.register_forward_hook(after))

        for name, module in self.model.named_modules():
            inside = name.startswith(self.names.blocks + ".")
            part = name.split(".", self.names.blocks.count(".") + 2)[-1] if inside else ""
            wanted = (*self.names.attention, self.names.mlp, self.names.after_attention, self.names.after_mlp)
            if (part and part in wanted) or name == self.names.norm or name == f"{self.names.blocks}.0":
                keep(name, module)
        with torch.no_grad():
            self.logits = self.model(**self.inputs).logits[0, self.place].float()
        for handle in handles:
            handle.remove()

    def layers(self) -> int:
        return len(self.model.get_submodule(self.names.blocks))

    def added(self, layer: int, writer: str, after: str) -> Tensor:
        """What a writer adds to the stream."""
        block = f"{self.names.blocks}.{layer}"
        return self.seen[f"{block}.{after}:out" if after else f"{block}.{writer}:out"]

    def attention_added(self, layer: int) -> list[Tensor]:
        return [self.added(layer, writer, self.names.after_attention) for writer in self.names.attention]

    def stream(self, layer: int, attention: int = 0, mlp: bool = False) -> Tensor:
        """h^(layer-1), plus the first `attention` attention writes of the layer, plus its MLP's."""
        x = self.seen[f"{self.names.blocks}.0:in"].clone()
        for n in range(layer):
            x = x + sum(self.attention_added(n)) + self.added(n, self.names.mlp, self.names.after_mlp)
        x = x + sum(self.attention_added(layer)[:attention])
        return x + self.added(layer, self.names.mlp, self.names.after_mlp) if mlp else x

    def log_p(self, x: Tensor, capped: bool = True) -> Tensor:
        """Log-softmax of any stream, seen through the final norm with the size it has at the end."""
        end, norm = self.seen[f"{self.names.norm}:in"], self.model.get_submodule(self.names.norm)
        eps = getattr(norm, "variance_epsilon", None) or norm.eps
        kind = type(norm).__name__
        if kind == "LayerNorm":
            r = (end.var(unbiased=False) + eps).rsqrt()
            x = (x - x.mean(-1, keepdim=True)) * r * norm.weight + norm.bias
        else:
            r = (end.square().mean() + eps).rsqrt()
            x = x * r * (1 + norm.weight if "Gemma" in kind else norm.weight)
        if self.names.project:
            x = x @ self.model.get_submodule(self.names.project).weight.T
        if getattr(self.model.config, "scale_decoder_outputs", False):
            x = x * self.model.config.d_model**-0.5
        head = self.model.get_output_embeddings()
        logits = x @ head.weight.T + (0 if head.bias is None else head.bias)
        cap = getattr(self.model.config, "final_logit_softcapping", None)
        if cap and capped:
            logits = cap * torch.tanh(logits / cap)
        return logits.log_softmax(-1)

    def writes(self, layer: int, writer: str, after: str) -> Tensor:
        """What each input column of a writer adds to the stream, [in, d]."""
        block = f"{self.names.blocks}.{layer}"
        module = self.model.get_submodule(f"{block}.{writer}")
        weight = module.weight if type(module).__name__ == "Conv1D" else module.weight.T
        each = self.seen[f"{block}.{writer}:in"][:, None] * weight
        if after:
            norm = self.model.get_submodule(f"{block}.{after}")
            size = (self.seen[f"{block}.{after}:in"].square().mean() + norm.eps).rsqrt()
            each = each * size * (1 + norm.weight)
        return each

    @torch.no_grad()
    def neurons(self, layer: int) -> Tensor:
        """log p(· | h + A + m_k v_k) − log p(· | h + A) of every token, neuron by neuron: [neuron, vocab]."""
        base = self.stream(layer, attention=len(self.names.attention))
        each = self.writes(layer, self.names.mlp, self.names.after_mlp)
        return torch.stack([self.log_p(base + one) - self.log_p(base) for one in each])

    @torch.no_grad()
    def values(self, layer: int, which: int = 0) -> Tensor:
        """The same for every input column of an attention writer: log p(· | h + value) − log p(· | h)."""
        base = self.stream(layer, attention=which)
        each = self.writes(layer, self.names.attention[which], self.names.after_attention)
        return torch.stack([self.log_p(base + one) - self.log_p(base) for one in each])


def looped(lm: Any, name: str, row: Any) -> Loop:
    """Run one row (its `ids`, `decoder` and the position of its targets) and return it written down."""
    inputs: dict[str, Any] = {"input_ids": torch.tensor([row.ids])}
    if row.decoder:
        inputs["decoder_input_ids"] = torch.tensor([row.decoder])
    loop = Loop(lm.model, NAMES[name], inputs, row.targets[0].position)
    loop.run()
    return loop


def read(log_p: Tensor, row: Any) -> Tensor:
    """Σ weight · log p over a row's targets."""
    return sum((t.weight * log_p[..., t.token] for t in row.targets), torch.tensor(0.0))


@torch.no_grad()
def queries(lm: Any, name: str, row: Any, top: int) -> Tensor:
    """The paper's query score of every neuron, with its quotient; for Llama-like models without bias of the values."""
    model, ids, last = lm.model, torch.tensor([row.ids]), row.targets[0].position
    loop, before = looped(lm, name, row), model.config._attn_implementation
    model.set_attn_implementation("eager")
    maps = model(input_ids=ids, output_attentions=True).attentions
    model.set_attn_implementation(before)
    places = [Loop(model, NAMES[name], {"input_ids": ids}, s) for s in range(len(row.ids))]
    for place in places:
        place.run()
    found: list[tuple[float, int, int, Tensor]] = []
    for layer, attended in enumerate(maps):
        block = model.model.layers[layer]
        heads, groups = attended.shape[1], block.self_attn.v_proj.weight.shape[0] * attended.shape[1]
        imp = read(loop.values(layer), row)
        dim = len(imp) // heads
        shared = groups // (dim * heads)
        for s in range(last + 1):
            h, gamma = places[s].stream(layer), block.input_layernorm.weight
            gamma = 1 + gamma if name == "gemma2" else gamma
            r = (h.square().mean() + model.config.rms_norm_eps).rsqrt()
            for j in range(len(imp)):
                key = gamma * block.self_attn.v_proj.weight[(j // dim) // (heads // shared) * dim + j % dim]
                share = attended[0, j // dim, last, s] * r * (h @ key) / loop.seen[_writer(loop, layer)][j]
                found.append((float(imp[j] * share), layer, s, key / (h @ key)))
    out = torch.zeros(len(maps), loop.writes(0, loop.names.mlp, loop.names.after_mlp).shape[0])
    for imp_a, layer, s, key in sorted(found, key=lambda each: -abs(each[0]))[:top]:
        for lower in range(layer):
            out[lower] += imp_a * places[s].writes(lower, loop.names.mlp, loop.names.after_mlp) @ key
    return out.flatten()


def _writer(loop: Loop, layer: int) -> str:
    return f"{loop.names.blocks}.{layer}.{loop.names.attention[0]}:in"
