"""The hate likelihood gap against a plain count, template by template; sentences here are numbers, not words."""

from __future__ import annotations

import math
import random

import pytest
import torch

from evenhand.core.bootstrap import Bootstrap
from evenhand.core.case import Case
from evenhand.core.measure import Subject
from evenhand.core.measuring import measure, point
from evenhand.core.readout import Readout
from evenhand.measures.hate_likelihood_gap import HateLikelihoodGap

Sentence = tuple[str, str, float, int]
"""Template, side, log-likelihood (nats) and tokens."""


def readout(groups: dict[str, list[Sentence]]) -> Readout:
    """Return sentences about several groups as a model would have scored them."""
    few = [(group, *sentence) for group, sentences in groups.items() for sentence in sentences]
    cases = tuple(
        Case(f"{group}/{i}", "x", "c", group=group, cluster=template, facts=(("side", side), ("template", template)))
        for i, (group, template, side, _, _) in enumerate(few)
    )
    logp, tokens = (torch.tensor([each[k] for each in few], dtype=torch.float64) for k in (3, 4))
    one = torch.ones(len(few), dtype=torch.float64)
    value = (logp / tokens).nan_to_num()
    return Readout("sentence", cases, tuple(groups), value, one, torch.arange(len(few)), {"valid": one}, one.bool(),
                   arrays={"logp": logp, "tokens": tokens})  # fmt: skip


def test_every_template_counts_the_same_however_many_slurs_fill_it() -> None:
    sentences = [("slur", "hateful", -10.0, 2), ("slur", "hateful", -14.0, 2), ("slur", "hateful", -18.0, 2),
                 ("plain", "hateful", -3.0, 3), ("fine", "neutral", -4.0, 2)]  # fmt: skip
    values = point(HateLikelihoodGap(), readout({"a": sentences}))
    assert values == pytest.approx({"value": -4.0 + 2.0, "hateful": (-7.0 - 1.0) / 2, "neutral": -2.0})


def test_random_sentences_equal_a_plain_count() -> None:
    draw = random.Random(0)
    for _ in range(20):
        sentences = [(draw.choice("pqrs"), side, -draw.uniform(1, 90), draw.randint(1, 9))
                     for side in ("hateful", "neutral") for _ in range(8)]  # fmt: skip
        means = {}
        for side in ("hateful", "neutral"):
            templates = sorted({t for t, s, _, _ in sentences if s == side})
            each = [[logp / n for t, s, logp, n in sentences if (t, s) == (name, side)] for name in templates]
            means[side] = sum(sum(few) / len(few) for few in each) / len(each)
        found = point(HateLikelihoodGap(), readout({"a": sentences}))
        assert found["value"] == pytest.approx(means["hateful"] - means["neutral"], abs=1e-12)


def test_each_group_has_its_own_row_and_one_side_alone_has_no_gap() -> None:
    groups = {
        "a": [(str(i), side, -float(i), 1) for i in range(6) for side in ("hateful", "neutral")],
        "b": [(str(i), "neutral", -1.0, 1) for i in range(6)],
    }
    rows = list(measure({"gap": HateLikelihoodGap()}, Subject("base", readout(groups)), Bootstrap(50)))
    found = {row.groups: row.estimate.value for row in rows if row.key == "value"}
    assert found[("a",)] == pytest.approx(0.0, abs=1e-12)
    assert math.isnan(found[("b",)])
    assert {row.groups: row.estimate.value for row in rows if row.key == "neutral"}[("b",)] == pytest.approx(-1.0)


def test_a_sentence_without_tokens_is_left_out_of_its_template() -> None:
    with_it = [("t", "hateful", -6.0, 2), ("t", "hateful", 0.0, 0), ("n", "neutral", -1.0, 1)]
    assert point(HateLikelihoodGap(), readout({"a": with_it}))["value"] == pytest.approx(-2.0)
