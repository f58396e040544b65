"""A linear probe of every layer that tells two kinds of prompts apart, judged on new words and sentences.

Logistic regression on standardised states; words and sentences are dealt into folds, so that a prompt is judged by a
probe that saw neither its word nor its sentence (the state of a word holds what stands before it, too). The control is
the same probe with shuffled labels; selectivity is accuracy − control (after Hewitt and Liang, 2019).
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
    prompts: Sequence[tuple[str, str]],
    others: Float[Tensor, "other layer d"],
    config: ProbeConfig,
    seed: int,
) -> Probed:
    """Return what probes of every layer say, layers apart; `first` labels the prompts, each a word and its sentence.

    Raises CannotRun where they cannot be dealt so that every probe is taught both concepts.
    """
    labels = np.array(first, dtype=int)
    folds = _folds(labels, [(word.lower(), text) for word, text in prompts], config.folds, seed)
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
    return Probed(correct, control, shares)


def _folds(labels: Any, prompts: Sequence[tuple[str, str]], count: int, seed: int) -> list[tuple[Any, Any]]:
    """Parts (taught, held out) that share neither word nor sentence, each with both labels to teach."""
    parts_of = [_dealt(labels, [each[k] for each in prompts], count, seed, ("word", "sentence")[k]) for k in (0, 1)]
    word, sentence = parts_of
    pairs = sorted(set(zip(word.tolist(), sentence.tolist(), strict=True)))
    parts = [(np.flatnonzero((word != i) & (sentence != j)), np.flatnonzero((word == i) & (sentence == j)))
             for i, j in pairs]  # fmt: skip
    if any(len(set(labels[taught])) < 2 for taught, _ in parts):
        raise CannotRun("the words and sentences cannot be dealt into parts that each leave both concepts to teach; "
                        f"set fewer `folds` (now {count}), or give more words and sentences")  # fmt: skip
    return parts


def _dealt(labels: Any, names: Sequence[str], count: int, seed: int, what: str) -> Any:
    """Which part each prompt is in, so that one name is in one part and both labels are in as many as may be."""
    from sklearn.model_selection import StratifiedGroupKFold

    fewest = min(len({name for name, label in zip(names, labels, strict=True) if label == each}) for each in (0, 1))
    if fewest < 2:
        raise CannotRun(
            f"a probe is judged on words and in sentences it never saw, so each concept needs at least two different "
            f"{what}s in the series known to stand for it; add prompts, or leave the probe out (folds = 0)"
        )
    part = np.zeros(len(labels), dtype=int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of labels that are fewer than folds, which is checked here
        dealt = StratifiedGroupKFold(min(count, fewest), shuffle=True, random_state=seed)
        for i, (_, held) in enumerate(dealt.split(np.zeros((len(labels), 1)), labels, list(names))):
            part[held] = i
    return part


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
