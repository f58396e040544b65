"""How fast batched scoring is: against the same scores one at a time, and against the machine's own matmul rate.

Random weights of real shapes, prompts of 20 to 40 tokens (as an audit's) and of 8 to 12; everything is measured in this
run, by default in processor time on one thread, which other work on the machine disturbs little. `limit` is the ratio
that a scorer would reach which does only what the scores need, at the full matmul rate: a longer prompt keeps the
processor busy by itself, so there is less to win by batching. Exit code 1 if prompts with 4 options are not scored 8
times as fast as one by one, or a model of hidden size 1024 or more runs below half the matmul rate.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from evenhand.core.case import Case
from evenhand.lm.load import wrap
from evenhand.lm.model import LM, Identity
from evenhand.lm.scoring.forward import score_options, score_texts
from evenhand.testing.tiny import SENTENCES, tiny_tokenizer

WORDS = " ".join(SENTENCES).split()
SHAPES: dict[str, dict[str, Any]] = {
    "GPT-2 small, 6 blocks": {"model_type": "gpt2", "n_layer": 6, "vocab_size": 50257},
    "Llama 1024, 4 blocks": {
        "model_type": "llama", "hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 4,
        "num_attention_heads": 16, "num_key_value_heads": 8, "vocab_size": 32000,
    },
}  # fmt: skip
COLUMNS = ("model", "scored", "tokens", "one by one", "batched", "ratio", "limit", "batched/matmul", "one/matmul",
           "difference")  # fmt: skip
OPTIONS, SHORT, LONG = 4, (8, 12), (20, 40)
LEAST_RATIO, LEAST_RATE, LARGE = 8.0, 0.5, 1024


def build(settings: dict[str, Any], device: str, dtype: torch.dtype) -> LM:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**settings, bos_token_id=None, eos_token_id=1, pad_token_id=0)
    return wrap(AutoModelForCausalLM.from_config(config).to(device, dtype), tiny_tokenizer(), Identity("random"))


def text_of(lm: LM, rng: random.Random, tokens: tuple[int, int]) -> str:
    """Words until the text has a number of tokens drawn from this range (or a token or two more)."""
    text, wanted = rng.choice(WORDS), rng.randint(*tokens)
    while len(lm.tokenizer(text)["input_ids"]) < wanted:
        text = f"{text} {rng.choice(WORDS)}"
    return text


def cases(lm: LM, rng: random.Random, count: int, tokens: tuple[int, int], options: int) -> list[Case]:
    words = [f" {word}" for word in dict.fromkeys(WORDS)]
    return [
        Case(str(i), text_of(lm, rng, tokens), "c", options=tuple(rng.sample(words, options))) for i in range(count)
    ]


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
    """Shortest of some repeats, and what the last returned."""
    best, result = float("inf"), None
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


@dataclass(frozen=True)
class Speed:
    """One job on one model, measured both ways."""

    model: str
    job: str
    hidden: int
    options: int
    tokens: int
    slow: float
    fast: float
    limit: float
    """Seconds of a scorer that does what is needed at the matmul rate."""
    one: float
    """Share of the matmul rate that the plain loop reaches."""
    apart: float
    """Largest difference of a score."""

    def row(self) -> tuple[str, ...]:
        """The line of the table."""
        times = (
            f"{self.slow:.2f} s",
            f"{self.fast:.2f} s",
            f"{self.slow / self.fast:.1f}×",
            f"{self.slow / self.limit:.1f}×",
        )
        return (
            self.model,
            self.job,
            str(self.tokens),
            *times,
            f"{self.limit / self.fast:.2f}",
            f"{self.one:.2f}",
            f"{self.apart:.1e}",
        )

    def misses(self) -> list[str]:
        """What it falls short of, in words."""
        what, found = f"{self.model}, {self.job}", []
        if self.options >= OPTIONS and self.slow / self.fast < LEAST_RATIO:
            found.append(f"{what}: {self.slow / self.fast:.1f} times one by one, wanted {LEAST_RATIO:g}")
        if self.hidden >= LARGE and self.limit / self.fast < LEAST_RATE:
            found.append(f"{what}: {self.limit / self.fast:.2f} of the matmul rate, wanted {LEAST_RATE:g}")
        return found


def jobs(lm: LM, count: int) -> list[tuple[str, int, list[tuple[str, str]], Callable[[], torch.Tensor]]]:
    """What is scored: its name, options per prompt, (prompt, option) pairs, and our own scores of them."""
    rng, found = random.Random(0), []
    for options, tokens in ((OPTIONS, LONG), (1, LONG), (1, SHORT)):
        own = cases(lm, rng, count // options, tokens, options)
        name = f"{options} option{'s' if options > 1 else ''}, prompts of {tokens[0]}–{tokens[1]} tokens"
        pairs = [(case.prompt, option) for case in own for option in case.options]
        found.append((name, options, pairs, lambda own=own: torch.cat(score_options(lm, own)[0])))
    texts = [text_of(lm, rng, LONG) for _ in range(count)]
    name = f"whole texts of {LONG[0]}–{LONG[1]} tokens"
    return [*found, (name, 0, [("", text) for text in texts], lambda: score_texts(lm, texts)[0].logp)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--answers", type=int, default=128, help="options, or texts, to score in each job")
    parser.add_argument("--clock", choices=("cpu", "wall"), help="default: wall on an accelerator, else cpu")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    plain = given.device == "cpu"
    clock = time.process_time if (given.clock or ("cpu" if plain else "wall")) == "cpu" else time.perf_counter
    dtype, n = getattr(torch, given.dtype), 2048 if plain else 8192
    square = torch.randn(n, n, device=given.device, dtype=dtype)
    table = Table(*COLUMNS, title=f"{given.device}, {given.dtype}, {given.threads} threads, {clock.__name__}")
    missed: list[str] = []
    for shape, settings in SHAPES.items():
        lm = build(settings, given.device, dtype)
        for job, options, pairs, ours in jobs(lm, given.answers):
            rate = 2 * n**3 / seconds(lambda: square @ square, clock)[0]
            fast, scores = seconds(ours, clock)
            slow, one = seconds(lambda lm=lm, pairs=pairs: one_by_one(lm, pairs), clock, 1)
            speed = Speed(
                shape, job, lm.model.config.hidden_size, options,
                sum(len(lm.tokenizer(prompt + option)["input_ids"]) for prompt, option in pairs), slow, fast,
                flops(lm, pairs, True) / rate, flops(lm, pairs, False) / slow / rate,
                float((scores - scores.new_tensor(one)).abs().max()),
            )  # fmt: skip
            table.add_row(*speed.row())
            missed += speed.misses()
        table.add_section()
    Console(width=170).print(table, *missed, sep="\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
