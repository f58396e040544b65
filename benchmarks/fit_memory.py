"""Peak memory of `fit` with neuron scores: the model, one batch's activations and their saved graph, nothing else.

Run `python benchmarks/fit_memory.py [--method contrast] [--budget 1024]`: a random Llama of about 95 million parameters
is fitted in a process of its own, and what `fit` adds to its resident memory at the peak is compared with what it may.

- model: bytes of all parameters. Parameter gradients, or scores of the size of the weights, would each add as much.
- graph: bytes torch saves for the backward pass of the largest batch (every tensor, once per storage, parameters left
  out; measured with `torch.autograd.graph.saved_tensors_hooks`), and the gradients of the captured inputs.

Exit code 1 if `fit` adds more than the graph and a quarter of the model (room for one layer's work space). The C
library's allocator is told to give freed blocks back at once; otherwise the peak counts what it keeps for later.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import threading
import time
from typing import Any

import psutil
import torch

from evenhand import find
from evenhand.core.case import Case
from evenhand.core.scenario import Context, Scenario
from evenhand.lm.attribution import trace as tracing
from evenhand.lm.load import wrap
from evenhand.lm.model import LM, Identity
from evenhand.testing.tiny import tiny_tokenizer

NAMES = {"a": ["Hunter", "Maria", "Jo", "Tom"], "b": ["Jamal", "DaShawn", "Al", "Eve"]}


def scenario() -> Scenario:
    tail = "The seller lives in the old town and has asked around among friends. " * 3
    cases = tuple(
        Case(
            f"{g}/{n}", f"{n} sells the car. {tail}Should I buy it? Answer:", "shop", "car", g, n, n, (" yes", " no"), 0
        )
        for g, names in NAMES.items()
        for n in names
    )
    return Scenario("shop", cases, (Context("shop", "choice"),), ("a", "b"))


def texts() -> Scenario:
    return Scenario("t", (Case("0", "The river runs past the old mill.", "t"),), (Context("t", "sentence"),))


def model(dtype: torch.dtype) -> LM:
    import transformers

    tokens: Any = tiny_tokenizer("llama")
    config = transformers.LlamaConfig(
        vocab_size=len(tokens), hidden_size=1024, intermediate_size=2816, num_hidden_layers=8, num_attention_heads=16,
        num_key_value_heads=8, max_position_embeddings=2048, pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    return wrap(transformers.AutoModelForCausalLM.from_config(config).to(dtype), tokens, Identity("random llama"))


class Peak:
    """Highest resident memory of this process, sampled every millisecond in a thread."""

    def __enter__(self) -> Peak:
        self.process, self.on = psutil.Process(), True
        self.start = self.high = self.process.memory_info().rss
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while self.on:
            self.high = max(self.high, self.process.memory_info().rss)
            time.sleep(0.001)

    def __exit__(self, *error: object) -> None:
        self.on = False
        self.thread.join()


def saved_graph(lm: LM) -> int:
    """Bytes kept for the backward pass of the largest batch, captured inputs and their gradients included."""
    parameters = {p.untyped_storage().data_ptr() for p in lm.model.parameters()}
    plain, largest = tracing._run, 0

    def run(lm: Any, rows: Any, layout: Any, gradients: bool) -> Any:
        nonlocal largest
        kept: dict[int, int] = {}

        def pack(x: torch.Tensor) -> torch.Tensor:
            storage = x.untyped_storage()
            if storage.data_ptr() not in parameters:
                kept[storage.data_ptr()] = storage.nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            batch = plain(lm, rows, layout, gradients)
        grads = sum(x.numel() * x.element_size() for x in batch.gradients.values())
        largest = max(largest, sum(kept.values()) + grads)
        return batch

    tracing._run = run
    find.build("locate", "contrast").score(lm, scenario())
    tracing._run = plain
    return largest


def measure(method: str, budget: int, dtype: str, queue: Any) -> None:
    torch.set_num_threads(1)
    lm = model(getattr(torch, dtype))
    lm.budget = budget
    settings = {"candidates": 4} if method == "contrast" else {}
    fitter = find.build("methods", method, settings)
    lm.model(input_ids=torch.ones(1, 8, dtype=torch.long))  # allocator and thread pools are up before the baseline
    with Peak() as peak:
        fitter.fit(lm, scenario(), texts())
    assert all(p.grad is None for p in lm.model.parameters()), "a parameter got a gradient"
    size = sum(p.numel() * p.element_size() for p in lm.model.parameters())
    over = peak.high - peak.start
    queue.put({"method": method, "dtype": dtype, "parameters": sum(p.numel() for p in lm.model.parameters()),
               "model_mb": size / 2**20, "before_mb": peak.start / 2**20, "peak_mb": peak.high / 2**20,
               "fit_mb": over / 2**20, "graph_mb": saved_graph(lm) / 2**20})  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", nargs="*", default=["contrast", "set_difference"])
    parser.add_argument("--budget", type=int, default=1024)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"
    context, worst = multiprocessing.get_context("spawn"), 0.0
    for method in given.method:
        queue: Any = context.Queue()
        process = context.Process(target=measure, args=(method, given.budget, given.dtype, queue))
        process.start()
        found = queue.get(timeout=900)
        process.join()
        worst = max(worst, (found["fit_mb"] - found["graph_mb"]) / found["model_mb"])
        print(json.dumps(found) if given.json else describe(found))
    return 0 if worst < 0.25 else 1


def describe(found: dict[str, Any]) -> str:
    model, peak, graph = (f"{found[key]:.0f} MB" for key in ("model_mb", "fit_mb", "graph_mb"))
    size = f"{found['parameters'] / 1e6:.0f}M parameters, {model} in {found['dtype']}"
    return f"{found['method']} ({size}): fit adds {peak} at its peak; the graph of its largest batch takes {graph}"


if __name__ == "__main__":
    sys.exit(main())
