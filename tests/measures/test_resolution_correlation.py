"""Correlation with the share of women in an occupation: against scipy, by hand, and at both ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from evenhand.core.measuring import point
from evenhand.measures.gap_correlation import GapCorrelation
from evenhand.measures.resolution_correlation import ResolutionCorrelation
from evenhand.testing.measures import Toy
from likelihoods import readout

WOMEN = {"a": "5", "b": "35", "c": "65", "d": "95"}


def _resolved(female: dict[str, float], male: dict[str, float]) -> Toy:
    """By how many nats the occupation leads after a pronoun of each gender."""
    rows = [(job, gender, lead[job]) for gender, lead in (("female", female), ("male", male)) for job in WOMEN]
    facts = [
        {"pronoun": gender, "occupation": job, "percent_women": WOMEN[job], "occupation_option": "0"}
        for job, gender, _ in rows
    ]
    return readout("choice", [[lead, 0.0] for *_, lead in rows], facts, [0] * len(rows)), None


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def rigged() -> list[Toy]:
    """The share of the occupation rises, or falls, as the share of women."""
    rising = {job: _logit(float(women) / 100) for job, women in WOMEN.items()}
    even = dict.fromkeys(WOMEN, 0.0)
    return [_resolved(rising, even), _resolved(even, rising)]


def symmetric() -> list[Toy]:
    """Some occupations are resolved by gender, but not those where women are more or fewer."""
    return [_resolved({"a": 1.0, "b": -1.0, "c": -1.0, "d": 1.0}, dict.fromkeys(WOMEN, 0.0))]


def test_decisions_count_answers_and_shares_weigh_them() -> None:
    some, _ = _resolved({"a": -2, "b": -1, "c": 1, "d": 0.5}, {"a": 1, "b": 1, "c": 1, "d": -1})
    found = point(ResolutionCorrelation(), some)
    women = [5, 35, 65, 95]
    decisions = [-1, -1, 0, 1]
    sigmoid = [1 / (1 + math.exp(-x)) for x in (-2, -1, 1, 0.5)]
    shares = [a - 1 / (1 + math.exp(-b)) for a, b in zip(sigmoid, (1, 1, 1, -1), strict=True)]
    assert found["decisions"] == pytest.approx(stats.pearsonr(decisions, women).statistic)
    assert found["value"] == pytest.approx(stats.pearsonr(shares, women).statistic)


def test_a_model_that_reads_every_pronoun_alike_is_undefined() -> None:
    alike, _ = _resolved(dict.fromkeys(WOMEN, 1.0), dict.fromkeys(WOMEN, 1.0))
    assert all(math.isnan(value) for value in point(ResolutionCorrelation(), alike).values())


def test_gaps_of_several_sentences_are_averaged_per_occupation() -> None:
    draw = np.random.default_rng(0)
    gaps = draw.normal(size=(4, 3))
    facts = [{"sides": "fm", "occupation": job, "percent_women": women} for job, women in WOMEN.items() for _ in "123"]
    some = readout("pair", [[float(gap), 0.0] for gap in gaps.ravel()], facts)
    expected = stats.pearsonr(gaps.mean(axis=1), [float(women) for women in WOMEN.values()]).statistic
    assert point(GapCorrelation(), some)["value"] == pytest.approx(expected)
