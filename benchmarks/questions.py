"""How fast questions with options are: against one forward pass per option, and against lm-eval at its best batch size.

GPT-2 small's shape with random weights and its real tokenizer, as many positions as the longest prompt needs; the first
rows of the public files, in lm-eval's own prompts and options, everything in one run on the same threads. `needed`:
tokens that have to go through the model when nothing is read twice, ÷ those lm-eval forwards; `of matmul`: the work the
scores need, at the matmul rate of this machine measured in between, ÷ our time; `padding`: of the tokens we forward.
Exit code 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pairs import MOST_PADDING, Fed, rate
from rich.console import Console
from rich.table import Table
from scoring import seconds

from evenhand.core.case import Case
from evenhand.lm.load import wrap
from evenhand.lm.model import LM, Identity
from evenhand.lm.scoring.forward import score_options

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

COLUMNS = ("asked", "items", "options", "lm-eval", "one by one", "ours", "ratio", "wanted", "to one by one", "needed",
           "of matmul", "padding", "difference")  # fmt: skip
BATCHES = (1, 2, 4, 8, 16, 32)


def jobs(data: Path) -> list[tuple[str, Any, int, int, float]]:
    """What is asked: its name, lm-eval's task, items, examples before each, and how much faster it should be."""
    from agreement import tasks

    return [
        ("BBQ by full text, 12 options", tasks.bbq(data, "Age"), 24, 0, 2.0),
        ("ARC easy, 4 options", tasks.arc(data, "Easy"), 48, 0, 2.0),
        ("MMLU, 5 examples, letters", tasks.mmlu(data, "high_school_biology"), 16, 5, 2.0),
        ("MMLU, no examples, letters", tasks.mmlu(data, "high_school_biology"), 32, 0, 1.3),
        ("BLiMP, whole sentences", tasks.blimp(data, "anaphor_gender_agreement"), 64, 0, 1.3),
    ]


def build() -> LM:
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    tokenizer = AutoTokenizer.from_pretrained(Path(os.environ["EVENHAND_MODELS"]) / "tokenizers" / "gpt2")
    torch.manual_seed(0)
    return wrap(GPT2LMHeadModel(GPT2Config(n_positions=2048)), tokenizer, Identity("random"))


def one_by_one(lm: LM, cases: Sequence[Case]) -> list[float]:
    """The obvious loop: every option with its prompt in a forward pass of its own, log-softmax over everything."""
    scores: list[float] = []
    for case in cases:
        for option in case.options:
            ids = lm.tokenizer(case.prompt + option)["input_ids"]
            first = len(lm.tokenizer(case.prompt)["input_ids"]) if case.prompt else 1
            ids = ids if case.prompt else [lm.tokenizer.bos_token_id, *ids]
            with torch.no_grad():
                logp = lm.model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
            scores.append(float(logp[first - 1 : -1].gather(1, torch.tensor(ids[first:])[:, None]).double().sum()))
    return scores


def measured(lm: LM, name: str, task: Any, count: int, shots: int, wanted: float) -> tuple[tuple[str, ...], str]:
    """Return a line of the table and, where the target is missed, that in words."""
    from agreement.outside import OutsideScores, Run, lm_eval_scores

    best: OutsideScores | None = None
    size = 0
    for batch in BATCHES:
        with tempfile.TemporaryDirectory() as folder:
            found = lm_eval_scores(lm.model, copy.deepcopy(lm.tokenizer), task, Path(folder), Run(batch, count, shots))
        if best is None or found.seconds < best.seconds:
            best, size = found, batch
    assert best is not None
    cases = [Case(str(item.doc), context, "c", options=tuple(option for _, option in item.requests))
             for item in best.items for context in [item.requests[0][0]]]  # fmt: skip
    fed = Fed()
    fed.watch(lm, lambda: score_options(lm, cases))
    ours, scores = seconds(lambda: torch.cat(score_options(lm, cases)[0]), time.perf_counter)
    slow, plain = seconds(lambda: one_by_one(lm, cases), time.perf_counter, 1)
    theirs = torch.tensor([logp for item in best.items for logp in item.logp], dtype=torch.float64)
    apart = max(float((scores - torch.tensor(plain)).abs().max()), float((scores - theirs).abs().max()))
    ratio = best.seconds / ours
    line = (
        name, str(len(cases)), str(len(plain)), f"{best.seconds:.2f} s (batch {size})", f"{slow:.2f} s",
        f"{ours:.2f} s", f"{ratio:.2f}×", f"{wanted:g}×", f"{slow / ours:.2f}×",
        f"{(fed.tokens - fed.padding) / best.forwarded:.2f}",
        f"{fed.work(lm) / rate(torch.float32) / ours:.2f}", f"{fed.padding / fed.tokens:.1%}", f"{apart:.1e}",
    )  # fmt: skip
    wasted = fed.padding / fed.tokens
    short = [f"{ratio:.2f}×, wanted {wanted:g}×"] if ratio < wanted else []
    short += [f"{wasted:.1%} padding, at most {MOST_PADDING:.0%} wanted"] if wasted > MOST_PADDING else []
    return line, f"{name}: {'; '.join(short)}" if short else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", help="jobs whose name contains this")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    lm = build()
    table = Table(*COLUMNS, title=f"GPT-2 small, float32, cpu, {given.threads} threads, wall clock")
    missed: list[str] = []
    for job in jobs(Path(os.environ["EVENHAND_DATA"])):
        if (given.only or "") in job[0]:
            line, miss = measured(lm, *job)
            table.add_row(*line)
            missed += [miss] if miss else []
    Console(width=200).print(table, *missed, sep="\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
