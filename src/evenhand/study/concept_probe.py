"""A linear probe of every layer that tells two kinds of prompts apart, judged on new words and sentences.

Logistic regression on standardised states; words and sentences are dealt into folds, so that a prompt is judged by a
probe that saw neither its word nor its sentence (the state of a word holds what stood before it, too).

The control is the same probe in the same folds with labels that mean nothing: those of the sentences of a fold are
dealt anew among them. One label for each sentence, because it is the sentence that tells the kinds apart (the same
words may stand in both), as one for each word type in Hewitt and Liang (2019); shuffled prompt by prompt, one sentence
would have two labels, which no probe can learn and the task never asks. Within a fold, because otherwise what is taught
has more of the label of which less is held out, and a probe of nothing falls below one half. Selectivity is accuracy −
control. Unlike there, no word and no sentence that was taught is judged, so knowing them by heart helps neither: the
control says what guessing gives with these prompts, and is far from one half only where they are few.
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

Prompts = Sequence[tuple[str, str]]
"""Word and sentence of each."""
Folds = list[tuple[Any, Any]]
"""Which prompts are taught, and which are held out."""


@dataclass(frozen=True, eq=False)
class Probed:
    """What the probes of all layers get right."""

    correct: Float[Tensor, "prompt layer"]
    """1 where the held-out prompt is told right, else 0."""
    control: Float[Tensor, "prompt layer"]
    """Share of the probes with labels that mean nothing that tell it as its own such label says."""
    shares: Float[Tensor, "other layer"]
    """Probability of the first concept for prompts that are not labelled, under a probe of all labelled ones."""


def probe(
    states: Float[Tensor, "prompt layer d"],
    first: Sequence[bool],
    prompts: Prompts,
    others: Float[Tensor, "other layer d"],
    config: ProbeConfig,
    seed: int,
) -> Probed:
    """Return what probes of every layer say, layers apart; `first` labels the prompts, each a word and its sentence.

    Raises CannotRun where they cannot be dealt so that every probe is taught both concepts.
    """
    labels = np.array(first, dtype=int)
    _check(labels, prompts)
    word = _dealt(labels, [word.lower() for word, _ in prompts], config.folds, seed)
    sentence = _dealt(labels, [text for _, text in prompts], config.folds, seed)
    folds = _folds(word, sentence)
    if not all(_both(labels[taught]) for taught, _ in folds):
        raise CannotRun("the words and sentences cannot be dealt into parts that each leave both concepts to teach; "
                        f"set fewer `folds` (now {config.folds}), or give more words and sentences")  # fmt: skip
    generator = np.random.default_rng(seed)
    controls = [_shuffled(labels, [text for _, text in prompts], sentence, generator) for _ in range(config.shuffles)]
    layers = states.shape[1]
    correct, control = torch.zeros(len(labels), layers), torch.zeros(len(labels), layers)
    shares = torch.zeros(len(others), layers)
    for layer in range(layers):
        x = states[:, layer].double().numpy()
        correct[:, layer] = _held_out(x, labels, folds, config.strength)
        for each in controls:
            control[:, layer] += _held_out(x, each, folds, config.strength) / len(controls)
        if len(others):
            told = _fitted(x, labels, config.strength).predict_proba(others[:, layer].double().numpy())[:, 1]
            shares[:, layer] = torch.from_numpy(told)
    return Probed(correct, control, shares)


def _shuffled(labels: Any, texts: Sequence[str], part: Any, generator: np.random.Generator) -> Any:
    """Labels that mean nothing: within each part those of its sentences are dealt anew, one to each."""
    found = labels.copy()
    own = [(text, int(label)) for text, label in zip(texts, labels, strict=True)]
    for each in sorted(set(part.tolist())):
        here = [i for i, dealt in enumerate(part) if dealt == each]
        sentences = sorted({own[i] for i in here})
        given = dict(zip(sentences, generator.permutation([label for _, label in sentences]), strict=True))
        found[here] = [given[own[i]] for i in here]
    return found


def _folds(word: Any, sentence: Any) -> Folds:
    """What is taught and what is held out share neither a part of the words nor one of the sentences."""
    pairs = sorted(set(zip(word.tolist(), sentence.tolist(), strict=True)))
    return [(np.flatnonzero((word != i) & (sentence != j)), np.flatnonzero((word == i) & (sentence == j)))
            for i, j in pairs]  # fmt: skip


def _dealt(labels: Any, names: Sequence[str], count: int, seed: int) -> Any:
    """Which part each prompt is in, so that one name is in one part and both labels are in as many as may be."""
    from sklearn.model_selection import StratifiedGroupKFold

    part = np.zeros(len(labels), dtype=int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of labels that are fewer than folds, which is checked before
        dealt = StratifiedGroupKFold(min(count, _fewest(labels, names)), shuffle=True, random_state=seed)
        for i, (_, held) in enumerate(dealt.split(np.zeros((len(labels), 1)), labels, list(names))):
            part[held] = i
    return part


def _fewest(labels: Any, names: Sequence[str]) -> int:
    """How many names the label has that has fewer."""
    return min(len({name for name, label in zip(names, labels, strict=True) if label == each}) for each in (0, 1))


def _check(labels: Any, prompts: Prompts) -> None:
    for names, what in (([word.lower() for word, _ in prompts], "word"), ([text for _, text in prompts], "sentence")):
        if _fewest(labels, names) < 2:
            raise CannotRun(
                f"a probe is judged on words and in sentences it never saw, so each concept needs at least two "
                f"different {what}s in the series known to stand for it; add prompts, or leave the probe out (folds = "
                "0)"
            )


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
