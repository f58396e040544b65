"""A linear probe of every layer that tells two kinds of prompts apart, judged on words it never saw.

Logistic regression on standardised states; words are dealt into folds, so the same word is never in both parts. The
control is the same probe with shuffled labels; selectivity is accuracy − control (after Hewitt and Liang, 2019).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from evenhand.core.errors import CannotRun
from evenhand.core.progress import Progress, silent
from evenhand.study.concepts import ProbeConfig


@dataclass(frozen=True, eq=False)
class Probed:
    """What the probes of all layers get right."""

    correct: Float[Tensor, "prompt layer"]
    """1 where the held-out prompt is told right, else 0."""
    control: Float[Tensor, "prompt layer"]
    """Share of the probes with shuffled labels that tell it as its own shuffled label says."""
    shares: Float[Tensor, "other layer"]
    """Probability of the first concept for prompts that are not labelled, under a probe of all labelled ones."""


def probe(
    states: Float[Tensor, "prompt layer d"],
    first: Sequence[bool],
    words: Sequence[str],
    others: Float[Tensor, "other layer d"],
    config: ProbeConfig,
    seed: int,
    progress: Progress = silent,
) -> Probed:
    """Return what probes of every layer say; `first` labels the prompts.

    Raises CannotRun where the words cannot be dealt so that every probe is taught both concepts.
    """
    labels = np.array(first, dtype=int)
    folds = _folds(labels, [word.lower() for word in words], config.folds, seed)
    generator = np.random.default_rng(seed)
    shuffled = [generator.permutation(labels) for _ in range(config.shuffles)]
    layers = states.shape[1]
    correct, control = torch.zeros(len(labels), layers), torch.zeros(len(labels), layers)
    shares = torch.zeros(len(others), layers)
    for layer in range(layers):
        x = states[:, layer].double().numpy()
        correct[:, layer] = _held_out(x, labels, folds, config.strength)
        for each in shuffled:
            control[:, layer] += _held_out(x, each, folds, config.strength) / len(shuffled)
        if len(others):
            told = _fitted(x, labels, config.strength).predict_proba(others[:, layer].double().numpy())[:, 1]
            shares[:, layer] = torch.from_numpy(told)
        progress("probing layers", layer + 1, layers)
    return Probed(correct, control, shares)


def _folds(labels: Any, words: Sequence[str], count: int, seed: int) -> list[tuple[Any, Any]]:
    """Parts (taught, held out) that share no word, each with both labels to teach."""
    from sklearn.model_selection import StratifiedGroupKFold

    fewest = min(len({word for word, label in zip(words, labels, strict=True) if label == each}) for each in (0, 1))
    if fewest < 2:
        raise CannotRun(
            "a probe is judged on words it never saw, so each concept needs at least two different words in the series "
            "known to stand for it; add prompts, or leave the probe out (folds = 0)"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of labels that are fewer than folds, which is checked here
        dealt = StratifiedGroupKFold(min(count, fewest), shuffle=True, random_state=seed)
        parts = list(dealt.split(np.zeros((len(labels), 1)), labels, list(words)))
    if any(len(set(labels[taught])) < 2 for taught, _ in parts):
        raise CannotRun(f"the words cannot be dealt into {min(count, fewest)} parts that each leave both concepts to "
                        "teach; set fewer `folds`, or give more words")  # fmt: skip
    return parts


def _held_out(x: Any, labels: Any, folds: Sequence[tuple[Any, Any]], strength: float) -> Int[Tensor, " prompt"]:
    right = np.zeros(len(labels), dtype=int)
    for taught, held in folds:
        told = (
            _fitted(x[taught], labels[taught], strength).predict(x[held])
            if _both(labels[taught])
            else labels[taught][:1]
        )
        right[held] = told == labels[held]
    return torch.from_numpy(right)


def _both(labels: Any) -> bool:
    return len(set(labels)) == 2


def _fitted(x: Any, labels: Any, strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    told = LogisticRegression(C=strength, max_iter=1000)
    return Pipeline([("standardised", StandardScaler()), ("told", told)]).fit(x, labels)
