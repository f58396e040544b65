"""A tiny model with a bias put in by hand, on which a method must beat chance: what carries the gap is known.

A random Llama in which a few coordinates of the residual stream are kept free of anything random. One of them is the
mark of a southern name. Made by hand are

- the embedding of every southern name, which has the mark;
- head 0 of block 0, which looks for the mark and copies it to every later position;
- four neurons of the later blocks, which fire where the mark is and are exactly silent elsewhere, and write much: some
  of it against the favourable answer, the rest to a coordinate of their own, where it upsets nothing.

So these units are all that methods assume of the units they look for: the gap runs through them, which a gradient and
an ablation see, and they are large for the names of one group and for no other. A method that finds neither the head
nor the neurons here finds them nowhere.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import torch

from evenhand.core.case import Case
from evenhand.core.component import Layout, Selection, Space
from evenhand.core.scenario import Context, Scenario
from evenhand.lm.model import LM
from evenhand.testing.tiny import tiny_lm, tiny_tokenizer

GROUPS = ("north", "south")
SYLLABLES = ("Ba", "Do", "Ke", "Li", "Mu", "Ra"), ("la", "mon", "ri", "sten", "vo", "zey")
TEXTS = ("The river runs past the old mill.", "She put 3 apples on the table and counted them twice.")
_EACH = 8
"""Names of each group to fit on, and as many others to report on."""
_YES, _NO = " yes", " no"
_MARK, _ONE, _SINKS = 31, 30, (26, 27, 28, 29)
_OWN = [_MARK, _ONE, *_SINKS]
"""Coordinates that nothing random writes or reads: the mark, the same number for every token, one for each neuron."""


@dataclass(frozen=True)
class Rigged:
    """A model with a gap, questions about some names and about others, neutral text, and the units that carry it."""

    lm: LM
    bias: Scenario
    report: Scenario
    utility: Scenario
    carriers: dict[Space, Selection]


def rigged(seed: int = 0) -> Rigged:
    """Build the model and its questions; the same seed gives the same."""
    names = _names(seed)
    tokens = tiny_tokenizer()
    tokens.add_tokens([_YES, _NO, *(f" {name}" for group in names.values() for name in group)])
    lm = tiny_lm("llama", seed=seed, tokenizer=tokens)
    neurons = _plant(lm, names["south"], torch.Generator().manual_seed(seed))
    texts = tuple(Case(str(i), text, "text", cluster=str(i)) for i, text in enumerate(TEXTS))
    return Rigged(
        lm=lm,
        bias=_questions({group: each[:_EACH] for group, each in names.items()}),
        report=_questions({group: each[_EACH:] for group, each in names.items()}),
        utility=Scenario("texts", texts, (Context("text", "sentence"),)),
        carriers=_carriers(lm, neurons),
    )


def _carriers(lm: LM, neurons: list[int]) -> dict[Space, Selection]:
    """The units without which the gap is gone: of rows, the gates of the neurons; of weights, what they write."""
    kept = Selection.of(lm.layout("neuron"), neurons)
    rows, entries = lm.layout("row"), lm.layout("weight")
    gates: list[int] = []
    written: list[int] = []
    for site, units in kept.by_site():
        gate = _start(rows, site.path.replace("down_proj", "gate_proj"))
        gates.extend(gate + int(unit) for unit in units)
        width = lm.module(site.path).get_parameter("weight").shape[0]
        first = _start(entries, site.path)
        written.extend(first + out * site.units + int(unit) for unit in units for out in range(width))
    return {
        "neuron": kept,
        "head": Selection.of(lm.layout("head"), [0]),
        "value": Selection.of(lm.layout("value"), [0]),
        "row": Selection.of(rows, gates),
        "weight": Selection.of(entries, written),
    }


def _start(layout: Layout, path: str) -> int:
    return dict(zip((site.path for site in layout.sites), layout.starts(), strict=True))[path]


def _names(seed: int) -> dict[str, list[str]]:
    """Made-up names dealt to the groups at random: nothing in their spelling says which."""
    every = [first + second for first in SYLLABLES[0] for second in SYLLABLES[1]]
    random.Random(seed).shuffle(every)
    return {group: every[i * 2 * _EACH : (i + 1) * 2 * _EACH] for i, group in enumerate(GROUPS)}


def _questions(names: dict[str, list[str]]) -> Scenario:
    cases = tuple(
        Case(f"{item}/{name}", f"Should I sell the {item} to {name} today? The answer is", "sale", item, group, name,
             name, (_YES, _NO), 0)
        for item in ("bicycle", "lamp") for group, each in names.items() for name in each
    )  # fmt: skip
    return Scenario("rigged", cases, (Context("sale", "choice"),), GROUPS)


@torch.no_grad()
def _plant(lm: LM, south: list[str], generator: torch.Generator) -> list[int]:
    """Put the bias in; return the addresses of the neurons that carry it."""
    body: Any = lm.model.model
    embeddings, answers = body.embed_tokens.weight, lm.model.lm_head.weight
    _set_free(body, embeddings, answers)
    embeddings[:, _ONE] = 0.5
    for name in south:
        embeddings[_token(lm, f" {name}"), _MARK] = 0.5 + 0.05 * torch.randn((), generator=generator)
    _make_head(body.layers[0].self_attn)
    against = answers[_token(lm, _NO)] - answers[_token(lm, _YES)]
    found: list[int] = []
    for sink in _SINKS:
        layer, unit = 1 + len(found) % (len(body.layers) - 1), 5 + 9 * len(found)
        mlp = body.layers[layer].mlp
        # The mark fades as the blocks add to the stream, so later neurons are made more sensitive to it.
        _make_neuron(mlp, unit, sensitive=1.2 + 0.6 * layer, writes=0.15 * against / against.norm())
        mlp.down_proj.weight[sink, unit] = 0.6
        found.append(layer * len(mlp.gate_proj.weight) + unit)
    return found


def _set_free(body: Any, embeddings: torch.Tensor, answers: torch.Tensor) -> None:
    """Let nothing random write or read the coordinates of our own."""
    for block in body.layers:
        attention, mlp = block.self_attn, block.mlp
        for reader in (attention.q_proj, attention.k_proj, attention.v_proj, mlp.gate_proj, mlp.up_proj):
            reader.weight[:, _OWN] = 0.0
        for writer in (attention.o_proj, mlp.down_proj):
            writer.weight[_OWN] = 0.0
    for table in (embeddings, answers):
        table[:, _OWN] = 0.0


def _make_head(attention: Any) -> None:
    """Head 0 looks for the mark from wherever it stands, and passes on nothing else."""
    width = attention.head_dim
    slow = width // 2 - 1  # of the dimensions that turn with the position, the one that turns least
    for reader in (attention.q_proj, attention.k_proj, attention.v_proj):
        reader.weight[:width] = 0.0
    attention.q_proj.weight[slow, _ONE] = 4.0
    attention.k_proj.weight[slow, _MARK] = 4.0
    attention.v_proj.weight[0, _MARK] = 1.0
    # Heads that share its keys and values would pass the mark on as well.
    attention.o_proj.weight[:, : width * attention.num_key_value_groups] = 0.0
    attention.o_proj.weight[_MARK, 0] = 0.2


def _make_neuron(mlp: Any, unit: int, sensitive: float, writes: torch.Tensor) -> None:
    """The neuron fires where the mark is, and is exactly silent elsewhere."""
    for reader in (mlp.gate_proj, mlp.up_proj):
        reader.weight[unit] = 0.0
        reader.weight[unit, _MARK] = sensitive
    mlp.down_proj.weight[:, unit] = writes


def _token(lm: LM, text: str) -> int:
    (token,) = lm.tokenizer(text)["input_ids"]
    return token
