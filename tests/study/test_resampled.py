"""Means whose prompts share sentences and words: both are drawn where both are many."""

from __future__ import annotations

import pytest
import torch

from evenhand.core.bootstrap import Bootstrap
from evenhand.core.case import Case
from evenhand.study.resampled import means


def test_words_are_drawn_beside_sentences_where_there_are_enough() -> None:
    generator, ends = torch.Generator().manual_seed(0), {}
    for words in (4, 8):
        cases = [Case(f"{i} {n}", "", "x", cluster=f"s{i}", name=f"w{n}") for i in range(12) for n in range(words)]
        by_word = [Case(case.id, "", "x", cluster=case.name) for case in cases]
        values = torch.randn(words, generator=generator, dtype=torch.float64).repeat(12)[:, None]
        whole = [torch.ones(len(cases), dtype=torch.bool)]
        alone, both = (means(values, cases, whole, Bootstrap(400), each)[0] for each in (None, by_word))
        ends[words] = [float(each.replicates.std()) for each in (alone, both)], both.clusters
        assert float(both.value) == pytest.approx(float(values.mean()))
    assert ends[4] == ([pytest.approx(0, abs=1e-9)] * 2, 12)
    (alone, both), clusters = ends[8]
    assert alone == pytest.approx(0, abs=1e-9)
    assert both == pytest.approx(float(values[:8].std(unbiased=False)) / 8**0.5, rel=0.15)
    assert clusters == 8
