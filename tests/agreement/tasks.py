"""The rows of EVENHAND_DATA in the form lm-eval's own tasks read, and the file of lm-eval that defines each task."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Task:
    """One task of lm-eval, to be run on these rows in this order."""

    name: str
    definition: str
    """The YAML file below lm_eval/tasks that says how a row becomes requests and metrics."""
    rows: Sequence[Row]
    split: str = "test"
    shots: Sequence[Row] = ()


def crows_pairs(data: Path) -> Task:
    """All 1,508 pairs."""
    # The file's first column has the name "", which lm-eval would take for its (empty) prompt template.
    rows = [{key: row[key] for key in row if key} for row in _table(data / "crows_pairs/crows_pairs_anonymized.csv")]
    return Task("crows_pairs_english", "crows_pairs/crows_pairs_english.yaml", rows)


def bbq(data: Path, category: str) -> Task:
    """One official category, ambiguous and disambiguated rows alternating as in the file."""
    return Task("bbq", "bbq/bbq_multiple_choice.yaml", _lines(data / "bbq/data" / f"{category}.jsonl"))


def lambada(data: Path) -> Task:
    """All 5,153 passages, as OpenAI detokenised them."""
    return Task("lambada_openai", "lambada/lambada_openai.yaml", _lines(data / "lambada/lambada_test.jsonl"))


def blimp(data: Path, paradigm: str) -> Task:
    """The first 100 pairs of one of the 67 paradigms."""
    rows = [row for row in _lines(data / "blimp_subset/blimp_first100.jsonl") if row["UID"] == paradigm]
    return Task(f"blimp_{paradigm}", f"blimp/{paradigm}.yaml", rows, split="train")


def arc(data: Path, part: str) -> Task:
    """The test questions of `part`, Easy or Challenge."""
    rows = [
        {"question": question, "choices": {"text": list(options), "label": list("ABCD")}, "answerKey": letter}
        for question, *options, letter in _cells(data / "arc" / f"ARC-{part}_test.csv")
    ]
    return Task(f"arc_{part.lower()}", f"arc/arc_{part.lower()}.yaml", rows)


def mmlu(data: Path, subject: str) -> Task:
    """The test questions of a subject; its five development questions are the shots."""
    test, dev = (
        [
            {"question": question, "choices": list(options), "answer": "ABCD".index(letter)}
            for question, *options, letter in _cells(data / "mmlu" / part / f"{subject}_{part}.csv")
        ]
        for part in ("test", "dev")
    )
    return Task(f"mmlu_{subject}", f"mmlu/default/mmlu_{subject}.yaml", test, shots=dev)


def _lines(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _cells(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
