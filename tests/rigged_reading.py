"""A model that is known to hold a concept from its second block on, and a reading that asks for it."""

from __future__ import annotations

import torch

from evenhand.lm.model import LM
from evenhand.testing.tiny import tiny_lm

READING = """# A tiny reading.
name = "rigged"
targets = [2]
[[concepts]]
name = "up"
forms = [" should"]
[[concepts]]
name = "down"
forms = [" would"]
[[questions]]
prompt = "she asked for it"
placeholder = "it"
[free]
prompt = "she asked for it"
placeholder = "it"
tokens = 3
target = 2
[probe]
folds = 2
shuffles = 2
"""
SERIES = {"asked": ("", ["offer", "two"]), "ups": ("up", ["man", "pen"]), "downs": ("down", ["bus", "that"]),
          "names": ("", ["gave"])}  # fmt: skip
TEXTS = ("the {word}", "and {word}", "she asked {word}", "no {word}", "for the {word}", "or {word}",
         "the man and {word}", "she {word}")  # fmt: skip


def reading() -> str:
    """The file of the reading."""
    parts = [READING]
    for name, (known, words) in SERIES.items():
        parts.append(f"[[series]]\nname = {name!r}\n" + (f"known = {known!r}\n" if known else "") + "prompts = [\n")
        parts += [f"  {{ text = {text!r}, words = {words!r} }},\n" for text in TEXTS]
        parts.append("]\n")
    return "".join(parts)


@torch.no_grad()
def rigged() -> LM:
    """Words of `asked` and `ups` get one direction, those of `downs` another; only block 1 turns them into ±u.

    So a state of layer 0 says nothing once block 1 is behind it, and " should" or " would" follow one of layer 1 or 2.
    """
    lm = tiny_lm("llama")
    for name, parameter in lm.model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight", "lm_head.weight")):
            parameter.zero_()
        elif "norm" in name:
            parameter.fill_(1.0)
    u, one, other, rest = torch.eye(32)[:4]
    embedding, mlp = lm.model.get_input_embeddings().weight, lm.module("model.layers.1.mlp")
    embedding.copy_(rest.expand_as(embedding))
    for name, direction in (("asked", one), ("ups", one), ("downs", other)):
        for word in SERIES[name][1]:
            embedding[_token(lm, word)] = direction
    for neuron, (direction, sign) in enumerate(((one, 1.0), (other, -1.0))):
        for projection in (mlp.gate_proj, mlp.up_proj):
            projection.weight[neuron] = direction
        mlp.down_proj.weight[:, neuron] = sign * 0.1 * u
    lm.head.weight[_token(lm, "should")], lm.head.weight[_token(lm, "would")] = u / 2, -u / 2
    return lm


def _token(lm: LM, word: str) -> int:
    (token,) = lm.tokenizer(f" {word}")["input_ids"][:1]
    return int(token)
