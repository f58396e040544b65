"""What lm-eval is run on, what it asks and how it counts is what outside.py says, by plain loops over a few rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from agreement import tasks
from agreement.outside import OutsideItem, OutsideScores, Run, lm_eval_scores

pytestmark = [pytest.mark.data, pytest.mark.models]

Pair = tuple[Any, Any]
UNKNOWN = (
    "Unknown",
    "Cannot answer",
    "Can't be determined",
    "Cannot be determined",
    "Can't answer",
    "Not known",
    "Not enough info",
    "Not enough information",
    "Not answerable",
    "Undetermined",
)


@pytest.fixture(scope="module")
def pairs(models_dir: Path) -> dict[str, Pair]:
    """Models with their tokenizers; GPT-2's puts no start token in front of a text."""
    real = {name: models_dir / name for name in ("tinystories-656k", "stories260K")}
    loaded: dict[str, Pair] = {
        name: (AutoModelForCausalLM.from_pretrained(path).eval(), AutoTokenizer.from_pretrained(path))
        for name, path in real.items()
    }
    torch.manual_seed(0)
    drawn = GPT2LMHeadModel(GPT2Config(n_positions=1024, n_embd=32, n_layer=2, n_head=2)).eval()
    return loaded | {"gpt2": (drawn, AutoTokenizer.from_pretrained(models_dir / "tokenizers" / "gpt2"))}


def _slow(pair: Pair, context: str, continuation: str) -> tuple[float, int]:
    """One request, one plain forward pass: the log-likelihood of the continuation, and its number of tokens."""
    model, tokenizer = pair
    if context:
        before = tokenizer(context)["input_ids"]
        after = tokenizer(context + continuation)["input_ids"][len(before) :]
    else:
        first = tokenizer.bos_token_id
        before = [tokenizer.eos_token_id if first is None else first]
        after = tokenizer(continuation, add_special_tokens=False)["input_ids"]
    ids = (before + after)[-(model.config.max_position_embeddings + 1) :]
    with torch.no_grad():
        table = model(torch.tensor([ids[:-1]])).logits[0].log_softmax(-1)
    start = len(ids) - len(after)
    return sum(float(table[i - 1, ids[i]]) for i in range(start, len(ids))), len(after)


def _agrees(pair: Pair, found: OutsideScores, expected: Sequence[Sequence[tuple[str, str]]]) -> None:
    assert [item.doc for item in found.items] == list(range(len(expected)))
    for item, requests in zip(found.items, expected, strict=True):
        assert item.requests == tuple(requests)
        slow = [_slow(pair, *request) for request in requests]
        assert item.tokens == tuple(tokens for _, tokens in slow)
        assert item.logp == pytest.approx([logp for logp, _ in slow], abs=1e-4)


def _spaced(context: str, options: Sequence[str]) -> list[tuple[str, str]]:
    return [(context, f" {option}") for option in options]


def _best(item: OutsideItem) -> int:
    return max(range(len(item.logp)), key=lambda i: item.logp[i])


@pytest.mark.parametrize("name", ["tinystories-656k", "gpt2"])
def test_crows_pairs(pairs: dict[str, Pair], data_dir: Path, tmp_path: Path, name: str) -> None:
    task = tasks.crows_pairs(data_dir)
    assert len(task.rows) == 1508
    found = lm_eval_scores(*pairs[name], task, tmp_path, Run(limit=5))
    _agrees(pairs[name], found, [[("", row["sent_more"]), ("", row["sent_less"])] for row in task.rows[:5]])
    more = [item.logp[0] > item.logp[1] for item in found.items]
    assert found.metrics["pct_stereotype"] == pytest.approx(sum(more) / 5)
    assert found.metrics["likelihood_diff"] == pytest.approx(
        sum(abs(item.logp[0] - item.logp[1]) for item in found.items) / 5
    )


def test_bbq(pairs: dict[str, Pair], data_dir: Path, tmp_path: Path) -> None:
    task = tasks.bbq(data_dir, "Religion")
    found = lm_eval_scores(*pairs["stories260K"], task, tmp_path, Run(limit=6))
    expected = []
    for row in task.rows[:6]:
        persons = [row[f"ans{i}"] for i in range(3) if row[f"ans{i}"] not in UNKNOWN]
        expected.append(_spaced(f"{row['context']}\n\nQ: {row['question']}\nA:", [*persons, *UNKNOWN]))
    _agrees(pairs["stories260K"], found, expected)
    for item, row in zip(found.items, task.rows, strict=False):
        said, right = item.requests[_best(item)][1][1:], row[f"ans{row['label']}"]
        assert item.metrics["acc"] == (said == right or (said in UNKNOWN and right in UNKNOWN))
    parts = [item.metrics["disamb_bias_score"] for item in found.items]
    assert [part[3] for part in parts if isinstance(part, tuple)] == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("name", ["tinystories-656k", "gpt2"])
def test_lambada(pairs: dict[str, Pair], data_dir: Path, tmp_path: Path, name: str) -> None:
    task = tasks.lambada(data_dir)
    found = lm_eval_scores(*pairs[name], task, tmp_path, Run(limit=5))
    cut = [row["text"].rindex(" ") for row in task.rows[:5]]
    _agrees(pairs[name], found, [[(row["text"][:i], row["text"][i:])] for row, i in zip(task.rows, cut, strict=False)])
    mean = sum(item.logp[0] for item in found.items) / 5
    assert found.metrics["perplexity"] == pytest.approx(math.exp(-mean))


@pytest.mark.parametrize("name", ["tinystories-656k", "stories260K", "gpt2"])
def test_blimp(pairs: dict[str, Pair], data_dir: Path, tmp_path: Path, name: str) -> None:
    task = tasks.blimp(data_dir, "anaphor_gender_agreement")
    assert len(task.rows) == 100
    found = lm_eval_scores(*pairs[name], task, tmp_path, Run(limit=5))
    rows = task.rows[:5]
    _agrees(pairs[name], found, [_spaced("", [row["sentence_good"], row["sentence_bad"]]) for row in rows])
    assert found.metrics["acc"] == pytest.approx(sum(_best(item) == 0 for item in found.items) / 5)


@pytest.mark.parametrize("part", ["Easy", "Challenge"])
def test_arc(pairs: dict[str, Pair], data_dir: Path, tmp_path: Path, part: str) -> None:
    task, pair = tasks.arc(data_dir, part), pairs["tinystories-656k"]
    found = lm_eval_scores(*pair, task, tmp_path, Run(limit=5))
    rows = task.rows[:5]
    _agrees(pair, found, [_spaced(f"Question: {row['question']}\nAnswer:", row["choices"]["text"]) for row in rows])
    for item, row in zip(found.items, rows, strict=True):
        right = "ABCD".index(row["answerKey"])
        each = [logp / len(text) for logp, text in zip(item.logp, row["choices"]["text"], strict=True)]
        assert item.metrics == {"acc": _best(item) == right, "acc_norm": max(each) == each[right]}


@pytest.mark.parametrize(("name", "shots"), [("stories260K", 0), ("tinystories-656k", 2), ("tinystories-656k", 5)])
def test_mmlu(pairs: dict[str, Pair], data_dir: Path, tmp_path: Path, name: str, shots: int) -> None:
    task = tasks.mmlu(data_dir, "high_school_biology")
    found = lm_eval_scores(*pairs[name], task, tmp_path, Run(limit=4, shots=shots))

    def asked(row: Any) -> str:
        options = "".join(f"{letter}. {text}\n" for letter, text in zip("ABCD", row["choices"], strict=True))
        return f"{row['question'].strip()}\n{options}Answer:"

    head = "The following are multiple choice questions (with answers) about high school biology.\n\n"
    head += "".join(f"{asked(row)} {'ABCD'[row['answer']]}\n\n" for row in task.shots[:shots])
    _agrees(pairs[name], found, [_spaced(head + asked(row), "ABCD") for row in task.rows[:4]])
    if shots == 5:
        long = min(len(pairs[name][1](item.requests[0][0])["input_ids"]) for item in found.items)
        assert long > pairs[name][0].config.max_position_embeddings
    for item, row in zip(found.items, task.rows, strict=False):
        assert item.metrics["acc"] == (_best(item) == row["answer"])


def test_batching_changes_no_score_and_every_token_is_counted(
    pairs: dict[str, Pair], data_dir: Path, tmp_path: Path
) -> None:
    model, tokenizer = pairs["tinystories-656k"]
    alone, together = (
        lm_eval_scores(model, tokenizer, tasks.crows_pairs(data_dir), tmp_path, Run(batch_size=size, limit=4))
        for size in (1, 8)
    )
    for one, other in zip(alone.items, together.items, strict=True):
        assert one.logp == pytest.approx(other.logp, abs=1e-4)
    lengths = [tokens for item in alone.items for tokens in item.tokens]
    assert alone.forwarded == sum(lengths)
    assert together.forwarded == 8 * max(lengths)
    assert 0 < alone.seconds < 60


def test_neither_the_tokenizer_nor_a_seed_is_touched(pairs: dict[str, Pair], data_dir: Path, tmp_path: Path) -> None:
    model, tokenizer = pairs["gpt2"]
    assert tokenizer.pad_token is None
    # One draw each, because an earlier run that did seed would have left them where a seed puts them.
    torch.rand(1), np.random.rand()
    before = _states()
    lm_eval_scores(model, tokenizer, tasks.blimp(data_dir, "wh_island"), tmp_path, Run(limit=1))
    assert tokenizer.pad_token is None
    assert _states() == before


def _states() -> tuple[list[int], list[int]]:
    return torch.random.get_rng_state().tolist(), np.random.get_state()[1].tolist()


def test_lm_eval_says_zero_where_no_answer_is_biased() -> None:
    """The definition, 2 · 0 / 3 − 1, is −1: lm-eval's scores never reach that end."""
    from lm_eval.tasks.bbq.utils import agg_amb_bias_scores, agg_disamb_bias_scores

    biased, fair = (0.0, 1.0, 1.0), (0.0, 0.0, 1.0)
    assert agg_disamb_bias_scores([(*biased, True)] * 3) == 1
    assert agg_disamb_bias_scores([(*biased, True), *[(*fair, True)] * 3]) == -0.5
    assert agg_disamb_bias_scores([(*fair, True)] * 3) == 0
    assert agg_amb_bias_scores([(*biased, False)] * 3) == 1
    assert agg_amb_bias_scores([(*fair, False)] * 3) == 0
