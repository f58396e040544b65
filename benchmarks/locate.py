"""How fast units are located: against each method as it is published, in this run, on random weights of real shapes.

- **bias neurons** (CRISPR), Flan-T5-base shape: `two passes` scores each option by a pass of its own, then runs ŷ and y
  one after the other with a hook on every linear map; once with parameters that have gradients (transformers' default)
  and once with frozen ones. `whole method` is attribution, choice of n and evaluation with the published numbers of
  questions (20 × 10 instructions; 14 numbers of units on 686 × 10; unedited and edited on 6,178 × 10), against one
  question at a time by generation of as many tokens as its longest option has; times per question are measured here,
  totals computed from them. 1.8 and 30 times as fast were asked for; how far from it this is, is printed.
- **logit scores**, Llama shape of 4 layers: the contrast of two tokens for every neuron, against the log-softmax over
  the vocabulary neuron by neuron (timed on some of them and scaled up), and layer by layer, all neurons at once.
- **integrated gradients**, the same Llama: the fewest Gauss–Legendre nodes that are as complete as 20 left Riemann
  steps, each layer from its own block on, against 20 steps and the baseline from the embeddings, all steps in a batch.

By default processor time on one thread. `difference` is how far both lie apart where they compute the same: scores of
bias neurons without weight and with the clamp per question, contrasts in nats, 20 Riemann steps by both. Exit code 1 if
a ratio is below its least value.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from plain.locating import PAIR, generate, riemann, softmax_loop, two_passes
from rich.console import Console
from rich.table import Table

from evenhand.core.case import Case
from evenhand.core.scenario import Context, Scenario
from evenhand.core.select import top
from evenhand.lm.attribution.direct import Parts, direct_parts
from evenhand.lm.attribution.integrated import integrate
from evenhand.lm.attribution.paths import Path
from evenhand.lm.attribution.rows import Row, Target
from evenhand.lm.batches.variants import Variant
from evenhand.lm.load import wrap
from evenhand.lm.model import LM, Identity
from evenhand.lm.scoring.forward import score_options
from evenhand.locate.crispr import Crispr
from evenhand.testing.tiny import SENTENCES, tiny_tokenizer

T5_BASE: dict[str, Any] = {
    "model_type": "t5", "d_model": 768, "d_ff": 2048, "d_kv": 64, "num_layers": 12, "num_heads": 12,
    "vocab_size": 32128, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "decoder_start_token_id": 0,
}  # fmt: skip
LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 4,
    "num_attention_heads": 16, "num_key_value_heads": 8, "vocab_size": 32000,
}  # fmt: skip
PUBLISHED = {"scored": 200, "choose": 6_860, "report": 61_780}
SIZES = (1, 2, 4, 8, 11, 16, 32, 64, 92, 128, 170, 256, 384, 500)
TOKENS = 110


@dataclass(frozen=True)
class Compared:
    """One of ours beside an alternative: seconds of each, how far their numbers lie apart, and what is asked of it."""

    what: str
    ours: float
    other: float
    difference: str
    least: float | None = None

    @property
    def ratio(self) -> float:
        """How many times as long the other takes."""
        return self.other / self.ours


def build(settings: dict[str, Any], name: str) -> LM:
    import transformers

    config = transformers.AutoConfig.for_model(**settings, bos_token_id=None, eos_token_id=1, pad_token_id=0)
    t5 = settings["model_type"] == "t5"
    auto: Any = transformers.AutoModelForSeq2SeqLM if t5 else transformers.AutoModelForCausalLM
    torch.manual_seed(0)
    model = auto.from_config(config).eval()
    if t5:  # as transformers makes it the probability of an answer is 0 in float32
        model.lm_head.weight.data *= config.d_model**-0.5
    return wrap(model, tiny_tokenizer(name), Identity("random"))


def questions(lm: LM, count: int) -> Scenario:
    """Prompts of about 110 tokens with three options, the first of them right."""
    rng, words = random.Random(0), " ".join(SENTENCES).split()
    cases: list[Case] = []
    for i in range(count):
        text = ""
        while len(lm.tokenizer(text)["input_ids"]) < TOKENS:
            text = f"{text} {rng.choice(words)}"
        cases.append(Case(str(i), text.strip(), "c", options=tuple(rng.sample(words, 3)), favourable=0))
    return Scenario("made", tuple(cases), (Context("c", "choice"),))


def bias_neurons(clock: Callable[[], float], count: int) -> Iterator[Compared]:
    lm = build(T5_BASE, "t5")
    layout, scenario = lm.layout("row"), questions(lm, count)
    ours, found = timed(lambda: Crispr(clamp="instance", weight=False).score(lm, scenario), clock)
    plain: list[float] = []
    for frozen, least in ((False, 1.8), (True, None)):
        seconds, other = timed(lambda frozen=frozen: two_passes(lm, scenario, layout, frozen), clock)
        plain.append(seconds)
        far = float((found.scores - other).abs().max() / other.abs().max())
        if not far < 1e-3:
            raise SystemExit(f"the scores of bias neurons differ by {far} of the largest")
        name = "frozen parameters" if frozen else "parameters with gradients"
        yield Compared(f"bias neurons, attribution: two passes, {name}", ours, seconds, f"{far:.0e} of the max", least)
    variants = [Variant(top(found, n)) for n in SIZES]
    few = scenario.cases[: max(2, count // 2)]
    chosen, _ = timed(lambda: score_options(lm, few, variants), clock)
    both, _ = timed(lambda: score_options(lm, few, [None, variants[4]]), clock)
    generated, _ = timed(lambda: [generate(lm, case) for case in few], clock)
    each = {"scored": ours / count, "choose": chosen / len(few), "report": both / len(few)}
    other = {
        "scored": plain[0] / count,
        "choose": len(SIZES) * generated / len(few),
        "report": 2 * generated / len(few),
    }
    total, per_item = (sum(PUBLISHED[part] * side[part] for part in PUBLISHED) for side in (each, other))
    yield Compared("bias neurons, whole method: generation per question", total, per_item, "", 1.0)


def prompts(lm: LM, count: int) -> list[Row]:
    """The first 32 tokens of prompts, with the contrast of two tokens after them."""
    rows: list[Row] = []
    for i, case in enumerate(questions(lm, count).cases):
        ids = tuple(lm.tokenizer(case.prompt)["input_ids"][:32])
        rows.append(Row(i, ids, 32, targets=(Target(31, PAIR[0], 1.0), Target(31, PAIR[1], -1.0))))
    return rows


def logit_scores(lm: LM, clock: Callable[[], float], loop: int) -> Iterator[Compared]:
    rows, layout, parts = prompts(lm, 8), lm.layout("neuron"), list[Parts]()
    ours, _ = timed(lambda: direct_parts(lm, rows, layout, parts.append), clock)
    found = next(p.units[[row.case for row in p.rows].index(0)] for p in parts if 0 in [row.case for row in p.rows])
    whole, exact = timed(lambda: softmax_loop(lm, rows[0], None), clock)
    far = float((torch.cat(exact) - found).abs().max())
    some = range(0, 2816, 2816 // loop)
    few, _ = timed(lambda: softmax_loop(lm, rows[0], some), clock)
    yield Compared("logit scores: softmax neuron by neuron", ours / len(rows), few * 2816 / len(some), f"{far:.0e}", 50)
    yield Compared("logit scores: softmax of a layer at once", ours / len(rows), whole, f"{far:.0e}")


def integrated(lm: LM, clock: Callable[[], float]) -> Iterator[Compared]:
    lm.model.requires_grad_(False)
    lm.model.enable_input_require_grads()
    layout, one = lm.layout("neuron"), (Target(31, PAIR[0], 1.0),)
    rows = [replace(row, targets=one) for row in prompts(lm, 4)]
    other, plain = timed(lambda: torch.stack([riemann(lm, row, 20) for row in rows]), clock)
    lm.model.disable_input_require_grads()
    published = integrate(lm, rows, layout, Path("riemann", 20, outcome="probability"))
    far = float((published.scores - plain).abs().max() / plain.abs().max())

    def error(nodes: int) -> float:
        return float(integrate(lm, rows, layout, Path("gauss", nodes, outcome="probability")).error.mean())

    nodes = next(n for n in range(1, 20) if error(n) <= float(published.error.mean()))
    ours, _ = timed(lambda: integrate(lm, rows, layout, Path("gauss", nodes, outcome="probability")), clock)
    yield Compared(
        f"integrated gradients: 20 Riemann steps, ours {nodes} nodes", ours, other, f"{far:.0e} of the max", 2.5
    )


def timed(call: Callable[[], Any], clock: Callable[[], float]) -> tuple[float, Any]:
    start = clock()
    result = call()
    return clock() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--wall", action="store_true", help="wall-clock instead of processor time")
    parser.add_argument("--questions", type=int, default=8, help="questions that bias neurons are timed on")
    parser.add_argument("--loop", type=int, default=64, help="neurons a layer that the softmax loop is timed on")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    clock = time.perf_counter if given.wall else time.process_time
    llama = build(LLAMA, "llama")
    found = [*logit_scores(llama, clock, given.loop), *integrated(llama, clock), *bias_neurons(clock, given.questions)]
    table = Table("ours against", "ours, s", "other, s", "ratio", "at least", "difference")
    for each in found:
        least = "" if each.least is None else f"{each.least:g}×"
        table.add_row(each.what, f"{each.ours:.3g}", f"{each.other:.3g}", f"{each.ratio:.3g}×", least, each.difference)
    Console(width=150).print(table)
    sys.exit(int(any(each.least is not None and each.ratio < each.least for each in found)))


if __name__ == "__main__":
    main()
