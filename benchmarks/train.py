"""Time and peak memory of a training step: against transformers' Trainer with peft, and against a reference model.

Run `python benchmarks/train.py`: a random model of Llama shape, about 45 million parameters, on one thread.

- **adapter**: LoRA of rank 4 on `q_proj` and `v_proj` by the recipe of "Aligned but Blind" (AdamW, cosine, warm-up,
  clipping; no dropout, so that both compute the same), 4 texts of 40 to 110 tokens a step, against the same recipe
  written with Trainer and peft, from the same factors. `difference` is the largest between the losses of a step.
- **NPO and KL**: unlearning by NPO with KL on texts to retain, all MLP writers trained. Ours computes what the unedited
  model said once and keeps it (256 tokens of each place), the other keeps that model and runs it at every step. What
  taking the references costs is given in steps. `difference` is the largest between the totals of a step.

Time is processor time, the less of some runs in turns, from the first step to the end. Memory is what training adds to
the resident memory at its peak, each in a process of its own after a short training, references or reference model
included, with the C library's allocator told to give freed blocks back at once. Exit code 1 where ours is slower, uses
more memory, or computes something else.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from fit_memory import Peak
from plain.training import BesideModel, trainer
from rich.console import Console
from rich.table import Table

from evenhand.lm.load import wrap
from evenhand.lm.model import LM, Identity
from evenhand.lm.tokens import encode_all
from evenhand.testing.tiny import SENTENCES, tiny_tokenizer
from evenhand.train.loop import Recipe, train
from evenhand.train.lora import adapted, query_value_maps
from evenhand.train.objectives import Terms, Unlearning, passages, retained
from evenhand.train.pairs import Completing, Pack, Pair

SIDES = {"adapter": ("ours", "Trainer + peft"), "NPO and KL": ("ours", "a reference model")}
RECIPE = Recipe(lr=2e-4, batch_size=4, warmup=1, seed=0, dropout=False)
LEAST = 1.0


@dataclass(frozen=True)
class Ran:
    """One training: processor seconds per step, those before the first step, and the loss of every step."""

    step: float
    before: float
    losses: list[float]


def build() -> LM:
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=32000, hidden_size=512, intermediate_size=1408, num_hidden_layers=4, num_attention_heads=8,
        num_key_value_heads=8, max_position_embeddings=512, pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    return wrap(transformers.AutoModelForCausalLM.from_config(config), tiny_tokenizer("llama"), Identity("random"))


def texts(count: int) -> list[str]:
    """Texts of 10 to 30 words, about 40 to 110 tokens."""
    rng, words = random.Random(0), " ".join(SENTENCES).split()
    return [" ".join(rng.choices(words, k=rng.randint(10, 30))) for _ in range(count)]


def adapter(lm: LM, side: str, steps: int, clock: Callable[[], float]) -> Ran:
    recipe = replace(RECIPE, steps=steps)
    said = texts(64)
    if side != "ours":
        whole = encode_all(lm, [f"{text}\nAnswer: {text}" for text in said], whole=True)
        seconds, losses = trainer(lm, [[*each.ids] for each in whole], recipe, clock)
        return Ran(seconds / steps, 0.0, losses)
    pack = Pack(tuple(Pair(text, text, "") for text in said), ("Answer:",))
    with adapted(lm, query_value_maps(lm), 4, 32.0, 0.0, recipe.seed) as parameters:
        start = clock()
        done = train(lm, parameters, Completing(pack, "text", recipe.batch_size), recipe)
        return Ran((clock() - start) / steps, 0.0, [entry.total for entry in done.log[:steps]])


def unlearning(lm: LM, side: str, steps: int, clock: Callable[[], float]) -> Ran:
    recipe, size = replace(RECIPE, steps=steps, lr=1e-5), RECIPE.batch_size
    said, terms = texts(64), Terms("npo", beta=0.1, kl=1.0)
    forget, retain = passages(lm, said[:32], [((0, 30),)] * 32), retained(lm, said[32:], 0)
    start = clock()
    if side == "ours":
        objective = Unlearning(lm, forget, retain, terms, size, 0)
    else:
        objective = BesideModel(lm, forget, retain, terms, size)
    before = clock() - start
    parameters = {site.path: lm.module(site.path).weight for site in lm.layout("neuron").sites}
    start = clock()
    done = train(lm, parameters, objective, recipe)
    return Ran((clock() - start) / steps, before, [entry.total for entry in done.log[:steps]])


WHAT = {"adapter": adapter, "NPO and KL": unlearning}


def peak(what: str, side: str, queue: Any) -> None:
    torch.set_num_threads(1)
    lm = build()
    WHAT[what](lm, side, 1, time.process_time)
    with Peak() as memory:
        WHAT[what](lm, side, 4, time.process_time)
    queue.put((memory.high - memory.start) / 2**20)


def megabytes(what: str, side: str) -> float:
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"
    context = multiprocessing.get_context("spawn")
    queue: Any = context.Queue()
    process = context.Process(target=peak, args=(what, side, queue))
    process.start()
    found = queue.get(timeout=900)
    process.join()
    del os.environ["MALLOC_MMAP_THRESHOLD_"]
    return found


def seconds(what: str, steps: int, turns: int) -> tuple[list[Ran], float]:
    """The fastest training of each side, and how far their losses lie apart."""
    best: dict[str, Ran] = {}
    for turn in range(turns + 1):  # the first only warms up
        for side in SIDES[what]:
            found = WHAT[what](build(), side, steps if turn else 1, time.process_time)
            if turn and (side not in best or found.step < best[side].step):
                best[side] = found
    ours, other = (best[side] for side in SIDES[what])
    return [ours, other], max(abs(a - b) for a, b in zip(ours.losses, other.losses, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    table = Table("training", "", "ours", "other", "other ÷ ours", "difference")
    fine = True
    for what, (_, other) in SIDES.items():
        (mine, theirs), far = seconds(what, given.steps, given.turns)
        memory = [megabytes(what, side) for side in SIDES[what]]
        ratios = theirs.step / mine.step, memory[1] / memory[0]
        fine &= min(ratios) >= LEAST and far < 1e-2
        name = f"{what}: {other}"
        table.add_row(name, "s per step", f"{mine.step:.3f}", f"{theirs.step:.3f}", f"{ratios[0]:.2f}×", f"{far:.0e}")
        table.add_row("", "MB at the peak", f"{memory[0]:.0f}", f"{memory[1]:.0f}", f"{ratios[1]:.2f}×", "")
        if mine.before:
            table.add_row("", "references, in steps", f"{mine.before / mine.step:.1f}", "", "", "")
    Console(width=150).print(table)
    sys.exit(int(not fine))


if __name__ == "__main__":
    main()
