"""F1, precision and recall are scikit-learn's; what cannot be said is NaN."""

from __future__ import annotations

import math
import random

import pytest
import torch
from sklearn.metrics import f1_score, precision_score, recall_score

from evenhand.core.measuring import point
from evenhand.core.readout import Readout
from evenhand.measures.f1 import F1
from evenhand.testing.measures import Toy
from likelihoods import readout


def answered(picked: list[int], right: list[int], positive: int = 1) -> Readout:
    """Cases with two options of which these are the likeliest and these the right ones."""
    logp = [[-1.0 - (pick == 1), -1.0 - (pick == 0)] for pick in picked]
    return readout("choice", logp, [{"positive": str(positive)}] * len(picked), right)


def rigged() -> list[Toy]:
    return [(answered([0, 1, 1], [0, 1, 1]), None), (answered([1, 0, 0], [0, 1, 1]), None)]


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("seed", range(5))
def test_all_three_are_scikit_learns_with_weights_too(seed: int, positive: int) -> None:
    draw = random.Random(seed)
    right = [draw.choice((0, 1, 1)) for _ in range(40)]
    picked = [draw.choice((0, 1)) for _ in right]
    weights = [draw.randrange(4) for _ in right]
    theirs = {"value": f1_score, "precision": precision_score, "recall": recall_score}
    ours, stats = answered(picked, right, positive), F1().per_case(answered(picked, right, positive))
    weighted = F1().combine(stats, torch.tensor(weights, dtype=torch.float64))
    for name, score in theirs.items():
        assert point(F1(), ours)[name] == pytest.approx(score(right, picked, pos_label=positive), abs=1e-12)
        expected = score(right, picked, pos_label=positive, sample_weight=weights)
        assert float(weighted[name]) == pytest.approx(expected, abs=1e-12)


def test_always_yes_has_the_f1_that_the_docstring_says() -> None:
    found = point(F1(), answered([1] * 100, [1] * 68 + [0] * 32))
    assert found == pytest.approx({"value": 2 * 0.68 / 1.68, "precision": 0.68, "recall": 1.0})


@pytest.mark.parametrize(
    ("picked", "right", "expected"),
    [
        ([0, 0], [1, 0], {"value": 0.0, "precision": math.nan, "recall": 0.0}),
        ([1, 0], [0, 0], {"value": 0.0, "precision": 0.0, "recall": math.nan}),
        ([0, 0], [0, 0], {"value": math.nan, "precision": math.nan, "recall": math.nan}),
    ],
)
def test_what_was_never_answered_or_never_right_is_undefined(
    picked: list[int], right: list[int], expected: dict[str, float]
) -> None:
    assert point(F1(), answered(picked, right)) == pytest.approx(expected, nan_ok=True)


def test_options_that_tie_share_the_answer_and_a_case_without_a_right_one_counts_nowhere() -> None:
    facts = [{"positive": "1"}] * 2
    tied = readout("choice", [[-1.0, -1.0], [-1.0, -1.0]], facts, [1, 0])
    assert point(F1(), tied) == pytest.approx({"value": 0.5, "precision": 0.5, "recall": 0.5})
    unknown = readout("choice", [[-1.0, -1.0], [-1.0, -1.0]], facts)
    assert all(math.isnan(value) for value in point(F1(), unknown).values())
