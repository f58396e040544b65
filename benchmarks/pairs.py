"""How fast CrowS-Pairs is: against the same scores one item at a time, and against public tools that do the same.

Random weights of real shapes (BERT base, GPT-2 small) with their real tokenizers; the first pairs of the published
file; everything in one run on the same threads. `masked`: one mask and one forward pass at a time, for every token and
for those of the original convention only, against `read`, which always scores every convention, in float32 and, where
the processor has it, in bfloat16 (with the largest difference of a sentence's score); and FairLangProc's CPS on the
pairs it can take (`--fairlangproc FOLDER`, where `pip install --no-deps --target FOLDER FairLangProc==0.1.9` put it;
its numbers are normalised over positions instead of the vocabulary, so it is a yardstick for speed only). `causal`: the
sum over whole sentences, against one forward pass per sentence and against lm-eval at its best batch size. `of
matmul`: the work the scores need, at the matmul rate of this machine measured in between, ÷ our time. Exit code 1 where
a target is missed.
"""

from __future__ import annotations

import argparse
import copy
import difflib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from scoring import seconds

from evenhand.core.scenario import Scenario
from evenhand.lm.load import wrap
from evenhand.lm.model import LM, Identity
from evenhand.lm.read import read
from evenhand.scenarios._load import load_scenario

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

SHAPES: dict[str, dict[str, Any]] = {"bert-base-uncased": {"model_type": "bert"}, "gpt2": {"model_type": "gpt2"}}
"""Tokenizer → shape; what is not said is the default of the family, which is BERT base and GPT-2 small."""
MOST_PADDING = 0.1
COLUMNS = ("model", "against", "pairs", "theirs", "ours", "ratio", "wanted", "of matmul", "padding", "difference")


def build(name: str, dtype: torch.dtype) -> LM:
    """Return a model of this shape with random weights and its real tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(Path(os.environ["EVENHAND_MODELS"]) / "tokenizers" / name)
    config = AutoConfig.for_model(**SHAPES[name])
    auto = AutoModelForMaskedLM if config.model_type == "bert" else AutoModelForCausalLM
    torch.manual_seed(0)
    return wrap(auto.from_config(config).to(dtype), tokenizer, Identity("random"))


def first(scenario: Scenario, count: int) -> Scenario:
    """Return the first pairs."""
    kept = {case.id for case in scenario.cases[:count]}
    return scenario.where(lambda case: case.id in kept)


def shared(first: list[int], second: list[int]) -> tuple[list[int], list[int]]:
    """Places of the tokens that both sentences have, start and end token left out."""
    blocks = difflib.SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks()
    places = [b.a + i for b in blocks for i in range(b.size)], [b.b + i for b in blocks for i in range(b.size)]
    return places[0][1:-1], places[1][1:-1]


def masked_loop(lm: LM, scenario: Scenario, original: bool) -> list[float]:
    """The obvious loop: token after token masked, one forward pass each; the sum over each sentence.

    `original`: only the tokens that both sentences of a pair have, which is all that the original convention needs.
    Otherwise every token, which is what all conventions need that `read` gives.
    """
    scores: list[float] = []
    for case in scenario.cases:
        ids = [lm.tokenizer(text)["input_ids"] for text in case.options]
        for own, same in zip(ids, shared(*ids), strict=True):
            total = 0.0
            for place in same if original else range(1, len(own) - 1):
                masked = torch.tensor([own])
                masked[0, place] = lm.tokenizer.mask_token_id
                with torch.no_grad():
                    logits = lm.model(input_ids=masked).logits[0, place]
                total += float(logits.float().log_softmax(-1)[own[place]])
            scores.append(total)
    return scores


def causal_loop(lm: LM, scenario: Scenario) -> list[float]:
    """The obvious loop: one forward pass per sentence, log-softmax over all of its logits."""
    scores: list[float] = []
    for case in scenario.cases:
        for text in case.options:
            ids = torch.tensor([[lm.tokenizer.bos_token_id, *lm.tokenizer(text)["input_ids"]]])
            with torch.no_grad():
                logp = lm.model(input_ids=ids).logits[0].float().log_softmax(-1)
            scores.append(float(logp[:-1].gather(1, ids[0, 1:, None]).double().sum()))
    return scores


def single_words(lm: LM, scenario: Scenario) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """Return the pairs that FairLangProc can score: they differ in one token, which stands once; with these tokens."""
    found: list[tuple[tuple[str, str], tuple[str, str]]] = []
    for case in scenario.cases:
        one, other = (lm.tokenizer(text)["input_ids"] for text in case.options)
        ops = [op for op in difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes() if op[0] != "equal"]
        if len(ops) == 1 and (ops[0][2] - ops[0][1], ops[0][4] - ops[0][3]) == (1, 1):
            a, b = one[ops[0][1]], other[ops[0][3]]
            if one.count(a) == other.count(b) == 1:
                words = lm.tokenizer.convert_ids_to_tokens([a, b])
                found.append(((case.options[0], case.options[1]), (words[0], words[1])))
    return found


@dataclass
class Fed:
    """What went through a model: tokens, of them padding, and the positions whose logits were computed."""

    tokens: int = 0
    padding: int = 0
    logits: int = 0

    def watch(self, lm: LM, call: Callable[[], Any]) -> Any:
        """Call while counting."""

        def inputs(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
            ids, mask = kwargs["input_ids"], kwargs["attention_mask"]
            used = mask.sum() if mask.ndim == 2 else (mask[:, 0].diagonal(dim1=1, dim2=2) == 0).sum()
            self.tokens += ids.numel()
            self.padding += int(ids.numel() - used)

        def head(module: Any, args: tuple[torch.Tensor, ...]) -> None:
            self.logits += args[0].shape[:-1].numel()

        hooks = [lm.model.register_forward_pre_hook(inputs, with_kwargs=True), lm.head.register_forward_pre_hook(head)]
        try:
            return call()
        finally:
            for hook in hooks:
                hook.remove()

    def work(self, lm: LM) -> float:
        """Floating-point operations of the matrices for what was needed: no padding."""
        out = lm.model.get_output_embeddings().weight.numel()
        blocks = sum(m.weight.numel() for m in lm.model.modules() if type(m).__name__ in ("Linear", "Conv1D")) - out
        return 2.0 * ((self.tokens - self.padding) * blocks + self.logits * out)


def rate(dtype: torch.dtype) -> float:
    """Floating-point operations per second of a large matrix product in this dtype."""
    n = 2048
    square = torch.randn(n, n, dtype=dtype)
    return 2 * n**3 / seconds(lambda: square @ square, time.perf_counter)[0]


@dataclass(frozen=True)
class Line:
    """One comparison."""

    model: str
    against: str
    pairs: int
    theirs: float
    ours: float
    wanted: float
    of_matmul: float
    padding: float
    difference: float

    def row(self) -> tuple[str, ...]:
        """The line of the table."""
        return (
            self.model, self.against, str(self.pairs), f"{self.theirs:.2f} s", f"{self.ours:.2f} s",
            f"{self.theirs / self.ours:.2f}×", f"{self.wanted:g}×", f"{self.of_matmul:.2f}", f"{self.padding:.1%}",
            f"{self.difference:.1e}",
        )  # fmt: skip


def ours(lm: LM, scenario: Scenario, array: str) -> tuple[float, list[float], float, float]:
    """Return our seconds, the scores of every sentence, the share of the matmul rate and that of padding."""
    fed = Fed()
    (readout,) = fed.watch(lm, lambda: read(lm, scenario))
    took, _ = seconds(lambda: read(lm, scenario), time.perf_counter)
    of_matmul = fed.work(lm) / rate(lm.model.dtype) / took
    return took, readout.arrays[array].flatten().tolist(), of_matmul, fed.padding / fed.tokens


def masked(scenario: Scenario, fairlangproc: str | None) -> list[Line]:
    """BERT base against the loop, in two dtypes, and against FairLangProc."""
    lm = build("bert-base-uncased", torch.float32)
    loops = [("one by one (float32)", "logp", *seconds(lambda: masked_loop(lm, scenario, False), time.perf_counter, 1)),
             ("the same, original only", "logp_shared", *seconds(lambda: masked_loop(lm, scenario, True),
                                                                 time.perf_counter, 1))]  # fmt: skip
    lines: list[Line] = []
    dtypes = [(torch.float32, 5.0), *([(torch.bfloat16, 10.0)] if torch.cpu._is_avx512_bf16_supported() else [])]
    for dtype, wanted in dtypes:
        model = build("bert-base-uncased", dtype)
        name = f"BERT base, {str(dtype).removeprefix('torch.')}"
        for against, array, slow, plain in loops:
            took, scores, of_matmul, padding = ours(model, scenario, array)
            apart = max(abs(a - b) for a, b in zip(scores, plain, strict=True))
            lines.append(Line(name, against, len(scenario.cases), slow, took, wanted, of_matmul, padding, apart))
    if fairlangproc:
        sys.path.insert(0, fairlangproc)
        from FairLangProc.metrics import CPS  # type: ignore[import-not-found]

        pairs = single_words(lm, scenario)
        texts = {text for both, _ in pairs for text in both}
        subset = scenario.where(lambda case: case.options[0] in texts and case.options[1] in texts)

        def theirs() -> None:
            for both, words in pairs:
                for text, word in zip(both, words, strict=True):
                    CPS(lm.model, lm.tokenizer, [text], [word])

        slow, _ = seconds(theirs, time.perf_counter, 1)
        took, _, of_matmul, padding = ours(lm, subset, "logp_shared")
        lines.append(
            Line(
                "BERT base, float32", "FairLangProc CPS", len(pairs), slow, took, 2.0, of_matmul, padding, float("nan")
            )
        )
    return lines


def causal(scenario: Scenario, batches: Sequence[int]) -> list[Line]:
    """GPT-2 small against the loop and against lm-eval at its best batch size."""
    from agreement import tasks
    from agreement.outside import Run, lm_eval_scores

    lm = build("gpt2", torch.float32)
    took, scores, of_matmul, padding = ours(lm, scenario, "logp")
    slow, plain = seconds(lambda: causal_loop(lm, scenario), time.perf_counter, 1)
    apart = max(abs(a - b) for a, b in zip(scores, plain, strict=True))
    n = len(scenario.cases)
    lines = [Line("GPT-2 small, float32", "one by one", n, slow, took, 1.0, of_matmul, padding, apart)]
    task = tasks.crows_pairs(Path(os.environ["EVENHAND_DATA"]))
    best, size, found = float("inf"), 0, None
    for batch in batches:
        with tempfile.TemporaryDirectory() as folder:
            outside = lm_eval_scores(lm.model, copy.deepcopy(lm.tokenizer), task, Path(folder), Run(batch, limit=n))
        if outside.seconds < best:
            best, size, found = outside.seconds, batch, outside
    assert found is not None
    theirs = [logp for item in found.items for logp in item.logp]
    apart = max(abs(a - b) for a, b in zip(scores, theirs, strict=True))
    return [
        *lines,
        Line("GPT-2 small, float32", f"lm-eval, batch {size}", n, best, took, 1.3, of_matmul, padding, apart),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--fairlangproc", help="folder that holds FairLangProc")
    parser.add_argument("--only", choices=("masked", "causal"))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    scenario = first(load_scenario("crows_pairs"), given.pairs)
    table = Table(*COLUMNS, title=f"CrowS-Pairs, cpu, {given.threads} threads, wall clock")
    lines = masked(scenario, given.fairlangproc) if given.only != "causal" else []
    lines += causal(scenario, (1, 4, 8, 16, 32, 64)) if given.only != "masked" else []
    for line in lines:
        table.add_row(*line.row())
    missed = [f"{line.model} against {line.against}: {line.theirs / line.ours:.2f}×, wanted {line.wanted:g}×"
              for line in lines if line.theirs / line.ours < line.wanted]  # fmt: skip
    missed += [f"{line.model}: {line.padding:.1%} padding, at most {MOST_PADDING:.0%} wanted"
               for line in lines if line.padding > MOST_PADDING]  # fmt: skip
    Console(width=170).print(table, *missed, sep="\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
