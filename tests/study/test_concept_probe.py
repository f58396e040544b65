"""A probe is judged on words and sentences it never saw, and its control is what a probe of nothing gets."""

from __future__ import annotations

import pytest
import torch

from evenhand.core.errors import CannotRun
from evenhand.study.concept_probe import Probed, probe
from evenhand.study.concepts import ProbeConfig

SENTENCES, WORDS = 12, 4
PROMPTS = [(f"word {n}", f"sentence {i}") for i in range(SENTENCES) for n in range(WORDS)]
BY_SENTENCE = [int(text.split()[1]) % 2 == 0 for _, text in PROMPTS]
BY_WORD = [word in ("word 0", "word 1") for word, _ in PROMPTS]


def _told(states: torch.Tensor, first: list[bool], seed: int = 0) -> Probed:
    return probe(states[:, None], first, PROMPTS, states[:0, None], ProbeConfig(folds=3, shuffles=2), seed)


def _drawn(count: int) -> torch.Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(0))


def test_it_needs_words_and_sentences_it_has_not_seen() -> None:
    states = torch.randn(6, 1, 4)
    first = [True] * 3 + [False] * 3
    for words, texts, what in (("abcdDd", "uvwxyz", "words"), ("abcdef", "uvwzzz", "sentences")):
        with pytest.raises(CannotRun, match=f"at least two different {what}"):
            probe(states, first, list(zip(words, texts, strict=True)), states[:0], ProbeConfig(), 0)


def test_one_that_can_only_know_sentences_again_is_at_chance() -> None:
    assert _told(_drawn(SENTENCES).repeat_interleave(WORDS, 0), BY_SENTENCE).correct.mean() < 0.75


def test_one_that_can_only_know_words_again_is_at_chance() -> None:
    assert _told(_drawn(WORDS).repeat(SENTENCES, 1), BY_WORD).correct.mean() < 0.75


def test_what_a_state_says_is_found_and_labels_that_mean_nothing_are_not() -> None:
    concept = torch.tensor(BY_SENTENCE).float()[:, None] * 4
    found = [_told(_drawn(SENTENCES).repeat_interleave(WORDS, 0) + concept, BY_SENTENCE, seed) for seed in range(3)]
    assert torch.stack([each.correct for each in found]).mean() > 0.95
    assert 0.35 < torch.stack([each.control for each in found]).mean() < 0.65


def test_where_a_state_says_nothing_of_its_sentence_selectivity_is_zero() -> None:
    found = _told(_drawn(WORDS).repeat(SENTENCES, 1), BY_SENTENCE)
    assert [float(each.mean()) for each in (found.correct, found.control)] == pytest.approx([0.5, 0.5])
