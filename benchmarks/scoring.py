"""How fast batched scoring is: against the same scores one at a time, and against the machine's own matmul rate.

Random weights of real shapes, prompts and texts made of a few words; every number is measured in this run.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from evenhand.core.case import Case
from evenhand.lm.forward import score_options, score_texts
from evenhand.lm.load import wrap
from evenhand.lm.model import LM, Identity
from evenhand.testing.tiny import SENTENCES, tiny_tokenizer

WORDS = " ".join(SENTENCES).split()
SHAPES: dict[str, dict[str, Any]] = {
    "GPT-2 small, 6 blocks": {"model_type": "gpt2", "n_layer": 6, "vocab_size": 50257},
    "Llama 1024, 4 blocks": {
        "model_type": "llama", "hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 4,
        "num_attention_heads": 16, "num_key_value_heads": 8, "vocab_size": 32000,
    },
}  # fmt: skip
COLUMNS = ("model", "scored", "tokens", "one by one", "batched", "ratio", "batched/matmul", "one/matmul", "difference")


def build(settings: dict[str, Any], device: str, dtype: torch.dtype) -> LM:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**settings, bos_token_id=None, eos_token_id=1, pad_token_id=0)
    return wrap(AutoModelForCausalLM.from_config(config).to(device, dtype), tiny_tokenizer(), Identity("random"))


def words(rng: random.Random, low: int, high: int) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(low, high)))


def one_by_one(lm: LM, pairs: list[tuple[str, str]]) -> list[float]:
    """The obvious loop: one forward pass per prompt and option, log-softmax over all of its logits."""
    scores = []
    for prompt, option in pairs:
        out = lm.tokenizer(prompt + option, return_offsets_mapping=True)
        ids = torch.tensor([out["input_ids"]], device=lm.device)
        first = max(1, sum(end <= len(prompt) for _, end in out["offset_mapping"]))
        with torch.no_grad():
            logp = lm.model(input_ids=ids).logits[0].float().log_softmax(-1)
        scores.append(float(logp[first - 1 : -1].gather(1, ids[0, first:, None]).double().sum()))
    return scores


def seconds(call: Callable[[], Any], clock: Callable[[], float], repeats: int = 3) -> tuple[float, Any]:
    """Shortest of some repeats, after a first run that is not counted."""
    best, result = float("inf"), call()
    for _ in range(repeats):
        start = clock()
        result = call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, clock() - start)
    return best, result


def flops(lm: LM, pairs: list[tuple[str, str]], needed: bool) -> int:
    """Work of the matrices: for every token and logit, or only for what the scores need (each prompt read once)."""
    head = lm.model.get_output_embeddings().weight.numel()
    blocks = sum(m.weight.numel() for m in lm.model.modules() if type(m).__name__ in ("Linear", "Conv1D")) - head
    lengths = [len(lm.tokenizer(prompt + option)["input_ids"]) for prompt, option in pairs]
    if not needed:
        return 2 * sum(lengths) * (blocks + head)
    prompts = {prompt: len(lm.tokenizer(prompt)["input_ids"]) for prompt, _ in pairs if prompt}
    fed = sum(n - prompts.get(prompt, 0) - 1 for n, (prompt, _) in zip(lengths, pairs, strict=True))
    return 2 * ((sum(prompts.values()) + fed) * blocks + (len(prompts) + fed) * head)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu is fairer on a busy machine")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    clock = time.perf_counter if given.clock == "wall" else time.process_time
    dtype, rng, n = getattr(torch, given.dtype), random.Random(0), 2048 if given.device == "cpu" else 8192
    shared, single = ([Case(str(i), words(rng, 10, 20), "c", options=tuple(f" {words(rng, 1, 1)}" for _ in range(k)))
                       for i in range(given.prompts)] for k in (4, 1))  # fmt: skip
    texts = [words(rng, 20, 50) for _ in range(given.prompts // 2)]
    square = torch.randn(n, n, device=given.device, dtype=dtype)
    table = Table(*COLUMNS, title=f"{given.device}, {given.dtype}, {given.threads} threads, {given.clock} clock")
    for shape, settings in SHAPES.items():
        lm = build(settings, given.device, dtype)
        jobs: dict[str, tuple[list[tuple[str, str]], Callable[[], Any]]] = {
            "4 options per prompt": ([(c.prompt, o) for c in shared for o in c.options],
                                     lambda lm=lm: torch.cat(score_options(lm, shared)[0])),
            "1 option per prompt": ([(c.prompt, c.options[0]) for c in single],
                                    lambda lm=lm: torch.cat(score_options(lm, single)[0])),
            "whole texts": ([("", text) for text in texts], lambda lm=lm: score_texts(lm, texts)[0].logp),
        }  # fmt: skip
        for job, (pairs, ours) in jobs.items():
            rate = 2 * n**3 / seconds(lambda: square @ square, clock)[0]
            slow, plain = seconds(lambda lm=lm, pairs=pairs: one_by_one(lm, pairs), clock, 1)
            fast, scores = seconds(ours, clock)
            tokens = sum(len(lm.tokenizer(prompt + option)["input_ids"]) for prompt, option in pairs)
            apart = float((scores - scores.new_tensor(plain)).abs().max())
            shares = (flops(lm, pairs, True) / fast / rate, flops(lm, pairs, False) / slow / rate)
            table.add_row(shape, job, str(tokens), f"{slow:.2f} s", f"{fast:.2f} s", f"{slow / fast:.1f}×",
                          *(f"{share:.2f}" for share in shares), f"{apart:.1e}")  # fmt: skip
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
