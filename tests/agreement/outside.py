"""What lm-eval (0.4.13) says about a local model on local rows: the other side of every agreement test.

A task is lm-eval's own definition with nothing changed but where its rows come from. It asks for the log-likelihood of
`continuation` after `context`: the sum of log p(token | everything before), in nats, never divided by a length.

| task | context | continuation, one for every option |
|---|---|---|
| crows_pairs | empty | sent_more, sent_less (nothing in front) |
| bbq | `{context}\\n\\nQ: {question}\\nA:` | a space, then: the two persons in row order, then ten ways to say "unknown" |
| lambada | the text without what follows its last space | that space and what follows |
| blimp | empty | a SPACE and sentence_good, a SPACE and sentence_bad |
| arc | `Question: {question}\\nAnswer:` | a space and the option's text |
| rte | `{sentence1}\\nQuestion: {sentence2} True or False?\\nAnswer:` | ` True`, ` False` |
| mrpc | `Sentence 1: {sentence1}\\nSentence 2: {sentence2}\\nQuestion: Do both sentences mean the same thing?\\nAnswer:` | ` no`, ` yes` |
| qnli | `{question}\\n{sentence}\\nQuestion: Does this response answer the question?\\nAnswer:` | ` yes`, ` no` |
| mmlu | `The following are multiple choice questions (with answers) about {subject}.\\n\\n`, every shot as below with ` {letter}\\n\\n` after it, then `{question.strip()}\\nA. {0}\\nB. {1}\\nC. {2}\\nD. {3}\\nAnswer:` | ` A`, ` B`, ` C`, ` D` |

Tokens. An empty context becomes one token: the tokenizer's start token, or its end token where it has no start token;
the continuation is encoded without special tokens and all of it is scored. Any other context is encoded as the
tokenizer does by default (Llama: start token in front; GPT-2: none), so is context + continuation, and the
continuation's tokens are what the second has beyond the length of the first. White space that ends a context is moved
to the continuation. No end token is added or scored. Too long a request loses tokens on the left, the start token first:
`max_length + 1` are kept (`max_position_embeddings`), the last one only predicted. The few first development rows are
the shots, in order.

Metrics, each a mean over items unless said otherwise. crows_pairs: pct_stereotype, 1 where sent_more has the higher sum
(a tie counts 0), likelihood_diff, the absolute difference. lambada: acc, 1 where every token of the word is the most
likely one; perplexity, exp of minus the mean sum (per word). blimp, mmlu, rte, mrpc, qnli: acc, the highest sum is the
right one. mrpc: f1 of " yes", not a mean. arc: acc, and acc_norm where the sum is divided by the option's length in
characters without the space. Ties: the first option wins. bbq: the highest of the twelve sums answers, any "unknown" is
the unknown answer; acc, accuracy_amb, accuracy_disamb; disamb_bias_score = 2 · biased / (answers that are persons) − 1
over disambiguated rows, and amb_bias_score = (1 − accuracy_amb) · the same over ambiguous rows; both are 0 where no
answer is biased, which the definition makes −1.
"""  # noqa: E501 - a table row cannot be wrapped

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lm_eval
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from agreement.tasks import Row, Task


@dataclass(frozen=True, slots=True)
class Run:
    """How lm-eval is run: sequences a batch, how many of the first rows (None is all), shots before each question."""

    batch_size: int = 8
    limit: int | None = None
    shots: int = 0


@dataclass(frozen=True, slots=True)
class OutsideItem:
    """One row; the tuples have one entry for every option, in lm-eval's order."""

    doc: int
    """Place of the row in the task's rows."""
    row: Row
    requests: tuple[tuple[str, str], ...]
    """Context and continuation."""
    logp: tuple[float, ...]
    tokens: tuple[int, ...]
    """How many tokens of the continuation were scored."""
    metrics: Mapping[str, float | tuple[float, ...]]
    """What this row adds to each metric; for BBQ's bias scores (right, biased, a person, disambiguated)."""


@dataclass(frozen=True, slots=True)
class OutsideScores:
    """All rows, the aggregated metrics, and what it cost."""

    items: tuple[OutsideItem, ...]
    metrics: Mapping[str, float]
    forwarded: int
    """Tokens that went through the model, padding included."""
    seconds: float
    """Wall clock of tokenising and scoring, without reading the rows."""


def lm_eval_scores(model: Any, tokenizer: Any, task: Task, folder: Path, run: Run = Run()) -> OutsideScores:
    """Run one task of lm-eval with its Hugging Face backend; `folder` is scratch space for its files."""
    # lm-eval gives the tokenizer it gets a padding token.
    backend = _Counting(pretrained=model, tokenizer=copy.deepcopy(tokenizer), batch_size=run.batch_size)
    found = lm_eval.simple_evaluate(
        model=backend,
        tasks=[_write(task, task.rows[: run.limit], folder)],
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        num_fewshot=run.shots,
        bootstrap_iters=0,
        random_seed=None,  # type: ignore[arg-type]
        numpy_random_seed=None,  # type: ignore[arg-type]
        torch_random_seed=None,  # type: ignore[arg-type]
    )
    assert found is not None, "lm-eval returns nothing only on the other ranks of a distributed run"
    samples = sorted(found["samples"][_local(task)], key=lambda sample: sample["doc_id"])
    items = tuple(_item(sample, backend.continuations) for sample in samples)
    return OutsideScores(items, _aggregates(found["results"][_local(task)]), backend.forwarded, backend.seconds)


class _Counting(HFLM):
    """lm-eval's backend, unchanged but for a stop watch and two counters."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.forwarded = 0
        self.seconds = 0.0
        self.continuations: dict[tuple[str, str], int] = {}

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> Any:
        start = time.perf_counter()
        scores = super().loglikelihood(requests, disable_tqdm=True)
        self.seconds += time.perf_counter() - start
        return scores

    def _loglikelihood_tokens(self, requests: Any, *args: Any, **more: Any) -> Any:
        self.continuations.update({text: len(continuation) for text, _, continuation in requests})
        return super()._loglikelihood_tokens(requests, *args, **more)

    def _model_call(self, inps: torch.Tensor, *args: Any, **more: Any) -> torch.Tensor:
        self.forwarded += inps.numel()
        return super()._model_call(inps, *args, **more)

    def get_model_info(self) -> dict[str, Any]:
        # It would ask the hub for the model's revision.
        return {}


def _local(task: Task) -> str:
    return f"local_{task.name}"


def _write(task: Task, rows: Sequence[Row], folder: Path) -> str:
    """Write the rows and a task file that includes lm-eval's own and differs in where the rows are; return its name."""
    files = {task.split: rows} | ({"dev": task.shots} if task.shots else {})
    paths = {split: folder / f"{_local(task)}_{split}.jsonl" for split in files}
    for split, kept in files.items():
        paths[split].write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    given = {
        "include": str(Path(lm_eval.__file__).parent / "tasks" / task.definition),
        "task": _local(task),
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {
            "data_files": {split: str(path) for split, path in paths.items()},
            "cache_dir": str(folder / "cache"),
        },
        "training_split": None,
        "validation_split": None,
        "test_split": None,
    } | {f"{'validation' if task.split == 'train' else task.split}_split": task.split}
    (folder / f"{_local(task)}.yaml").write_text(json.dumps(given), encoding="utf-8")
    return _local(task)


def _item(sample: Mapping[str, Any], continuations: Mapping[tuple[str, str], int]) -> OutsideItem:
    requests = tuple((context, continuation) for context, continuation in sample["arguments"])
    return OutsideItem(
        doc=sample["doc_id"],
        row=sample["doc"],
        requests=requests,
        logp=tuple(logp for ((logp, _),) in sample["resps"]),
        tokens=tuple(continuations[request] for request in requests),
        metrics=_defined({name: _numbers(sample[name]) for name in sample["metrics"]}),
    )


def _numbers(value: Any) -> float | tuple[float, ...]:
    return tuple(float(part) for part in value) if isinstance(value, tuple) else float(value)


def _defined(metrics: Mapping[str, float | tuple[float, ...]]) -> dict[str, float | tuple[float, ...]]:
    """Without BBQ's scores of other categories, which are not a number."""
    return {
        name: value
        for name, value in metrics.items()
        if not any(math.isnan(part) for part in (value if isinstance(value, tuple) else (value,)))
    }


def _aggregates(results: Mapping[str, Any]) -> dict[str, float]:
    means = {
        key.split(",")[0]: value for key, value in results.items() if key.endswith(",none") and "_stderr" not in key
    }
    return {name: float(value) for name, value in means.items() if not math.isnan(value)}
