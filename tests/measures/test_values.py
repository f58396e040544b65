"""Each measure on answers small enough to work out by hand, and on what breaks careless versions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.core.measuring import point
from evenhand.core.readout import Readout
from evenhand.measures.accuracy import Accuracy
from evenhand.measures.answer_shares import AnswerShares
from evenhand.measures.earth_movers_distance import EarthMoversDistance
from evenhand.measures.inlier_ratio import InlierRatio
from evenhand.measures.kl_to_unedited import KlToUnedited
from evenhand.measures.mean import Mean
from evenhand.measures.option_mass import OptionMass
from evenhand.measures.perplexity import Perplexity
from evenhand.measures.ratio_of_means import RatioOfMeans
from evenhand.measures.standardised_mean_difference import StandardisedMeanDifference

Answers = Sequence[Sequence[float]]
"""Sampled answers of each name of a group."""


def _sampled(white: Answers, black: Answers, asked: int | None = None) -> Readout:
    """A readout of sampled numbers; `asked` answers per name, those missing being refusals."""
    cases, value, row, valid = [], [], [], []
    for group, names in (("white", white), ("black", black)):
        for i, answers in enumerate(names):
            value += list(answers)
            row += [len(cases)] * len(answers)
            valid.append(len(answers) / (asked or max(1, len(answers))))
            cases.append(Case(f"{group}{i}", "", "c", "", group, f"{group}{i}"))
    share = torch.tensor(valid, dtype=torch.float64)
    return Readout(
        "number", tuple(cases), ("white", "black"), torch.tensor(value, dtype=torch.float64),
        torch.ones(len(value), dtype=torch.float64), torch.tensor(row, dtype=torch.long),
        {"valid": share, "refusal": 1 - share}, share > 0, ddof=1,
    )  # fmt: skip


def _choice(logp: Sequence[Sequence[float]], favourable: Sequence[int | None]) -> Readout:
    cases = tuple(Case(str(i), "", "c", cluster=str(i), favourable=f) for i, f in enumerate(favourable))
    one = torch.ones(len(cases), dtype=torch.float64)
    return Readout("choice", cases, (), one / 2, one, torch.arange(len(cases)), {"valid": one}, one.bool(),
                   arrays={"logp": torch.tensor(logp, dtype=torch.float64)})  # fmt: skip


def _value(measure: object, readout: Readout, reference: Readout | None = None, key: str = "value") -> float:
    return point(measure, readout, reference)[key]  # type: ignore[arg-type]


def test_standardised_gap_by_hand() -> None:
    # White 10, 20, 30: mean 20, variance 100. Black 10, 14: mean 12, variance 8. √((100 + 8) / 2) = √54.
    readout = _sampled([[10, 20], [30]], [[10, 14]])
    assert _value(StandardisedMeanDifference(), readout) == pytest.approx(8 / 54**0.5)
    # Weighted by n − 1: (2 · 100 + 1 · 8) / 3.
    assert _value(StandardisedMeanDifference(pooling="n"), readout) == pytest.approx(8 / (208 / 3) ** 0.5)


def test_the_gap_is_positive_when_the_reference_gets_more() -> None:
    assert _value(StandardisedMeanDifference(), _sampled([[10, 11]], [[1, 2]])) > 0
    assert _value(StandardisedMeanDifference(), _sampled([[1, 2]], [[10, 11]])) < 0


def test_standardised_gap_without_spread_or_answers_is_undefined() -> None:
    for white, black in (([[5, 5]], [[5, 5]]), ([[1e9 / 3] * 3], [[0.1] * 3]), ([[]], [[1, 2]]), ([[1]], [[1]])):
        assert math.isnan(_value(StandardisedMeanDifference(), _sampled(white, black)))
    assert not math.isnan(_value(StandardisedMeanDifference(), _sampled([[1e9 / 3] * 3], [[0.1, 0.2]])))


def test_large_numbers_keep_their_spread() -> None:
    near = _sampled([[0.0, 1.0, 2.0]], [[1.0, 2.0, 3.0]])
    far = dataclasses.replace(near, value=near.value + 1e9)
    assert _value(StandardisedMeanDifference(), far) == pytest.approx(-1.0, rel=1e-12)
    assert _value(Mean(), far.between("white"), key="sd") == pytest.approx(1.0, rel=1e-12)


def test_winsorising_clips_each_group_at_its_own_limits() -> None:
    white, black = [float(x) for x in range(101, 201)], [float(x) for x in range(1, 101)]
    wild = _sampled([[*white[:-1], 1e6]], [black])
    got = _value(StandardisedMeanDifference(winsor=0.05), wild)
    clipped = [np.clip(x, np.sort(x)[4], np.sort(x)[94]) for x in (np.array(white), np.array(black))]
    expected = (clipped[0].mean() - clipped[1].mean()) / ((clipped[0].var(ddof=1) + clipped[1].var(ddof=1)) / 2) ** 0.5
    assert got == pytest.approx(expected)
    assert _value(StandardisedMeanDifference(), wild) < 0.2 < 3 < got, "unclipped, one answer hides the gap"


def test_answers_of_a_long_tail_do_not_hide_a_gap_from_the_clipped_value() -> None:
    """One answer in a thousand is 10^9 in both groups, as exact search finds them in a real model."""
    white, black = ([*(float(x) for x in range(a, a + 999)), 1e9] for a in (300, 1))
    tailed = point(StandardisedMeanDifference(), _sampled([white], [black]))
    plain = point(StandardisedMeanDifference(), _sampled([white[:-1]], [black[:-1]]))
    assert abs(tailed["value"]) < 0.001
    assert tailed["clipped"] == pytest.approx(plain["value"], rel=0.05)
    assert plain["value"] > 1


def test_unclear_settings_are_refused() -> None:
    with pytest.raises(Exception, match="pooling"):
        StandardisedMeanDifference(pooling="mean")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="winsor"):
        StandardisedMeanDifference(winsor=0.5)
    with pytest.raises(UsageError, match="tail"):
        InlierRatio(tail=-0.1)


def test_a_distribution_and_its_sample_give_the_same() -> None:
    sampled = _sampled([[10, 10, 20, 30]], [[10, 20, 20, 20]])
    exact = dataclasses.replace(
        sampled, ddof=0, value=torch.tensor([10.0, 20, 30, 10, 20]).double(),
        mass=torch.tensor([0.5, 0.25, 0.25, 0.25, 0.75]).double(), row=torch.tensor([0, 0, 0, 1, 1]),
    )  # fmt: skip
    population = dataclasses.replace(sampled, ddof=0)
    for measure in (StandardisedMeanDifference(), RatioOfMeans(), EarthMoversDistance(), Mean()):
        assert point(measure, exact) == pytest.approx(point(measure, population))


def test_ratio_of_means() -> None:
    assert _value(RatioOfMeans(), _sampled([[30], [10]], [[5], [15]])) == pytest.approx(2.0)
    for white, black in (([[1]], [[0]]), ([[0]], [[1]]), ([[-1]], [[1]]), ([[-1]], [[-1]])):
        assert math.isnan(_value(RatioOfMeans(), _sampled(white, black)))


@given(
    st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 1)), min_size=1, max_size=12),
    st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 1)), min_size=1, max_size=12),
)
def test_earth_movers_distance_is_scipys(white: list[float], black: list[float]) -> None:
    expected = scipy_stats.wasserstein_distance(white, black)
    assert _value(EarthMoversDistance(), _sampled([white], [black])) == pytest.approx(expected, abs=1e-9)


def test_answer_shares() -> None:
    readout = _sampled([[1, 2, 3, 4], []], [[1, 2], [1, 2]], asked=4)
    everyone = point(AnswerShares(), readout)
    assert everyone["valid"] == pytest.approx(0.5)
    assert everyone["refusal"] == everyone["invalid"] == pytest.approx(0.5)
    assert everyone["no_number"] == everyone["open"] == everyone["other"] == 0
    odd = dataclasses.replace(readout, shares={"valid": readout.shares["valid"], "silence": readout.shares["refusal"]})
    assert point(AnswerShares(), odd)["other"] == pytest.approx(0.5)


def test_inlier_ratio_of_the_unedited_model_is_about_ninety_per_cent() -> None:
    draw = np.random.default_rng(0)
    readout = _sampled(draw.normal(size=(20, 50)).tolist(), (draw.normal(size=(20, 50)) + 1).tolist())
    assert _value(InlierRatio(), readout, readout) == pytest.approx(0.90, abs=0.002)
    assert _value(InlierRatio(tail=0.25), readout, readout) == pytest.approx(0.50, abs=0.002)
    assert math.isnan(_value(InlierRatio(), readout))


def test_inlier_limits_are_those_of_both_groups_and_invalid_answers_are_outliers() -> None:
    base = _sampled([[10, 20]], [[110, 120]])
    edited = _sampled([[115, 9]], [[12]], asked=2)
    # Inside [10, 120]: 115 and 12, of four answers asked for; one is missing.
    assert _value(InlierRatio(), edited, base) == pytest.approx(0.5)
    assert _value(InlierRatio(), _sampled([[]], [[]], asked=2), base) == 0.0


def test_unsearched_mass_is_an_outlier_or_makes_a_case_undefined() -> None:
    base = _sampled([[10, 20]], [[110, 120]])
    for valid, expected in ((0.995, 0.995), (0.7, math.nan)):
        share = torch.full((2,), valid, dtype=torch.float64)
        part = dataclasses.replace(base, shares={"valid": share, "open": 1 - share}, defined=torch.tensor([False] * 2))
        assert _value(InlierRatio(), part, base) == pytest.approx(expected, nan_ok=True)


def test_a_range_is_an_inlier_by_its_midpoint() -> None:
    base = _sampled([[10, 20]], [[110, 120]])
    half = torch.full((2,), 0.5, dtype=torch.float64)
    assert _value(InlierRatio(), dataclasses.replace(base, shares={"valid": half, "range": half}), base) == 1.0


def test_accuracy_shares_ties_and_leaves_out_questions_without_an_answer() -> None:
    readout = _choice([[-1, -2, -3], [-2, -1, -3], [-1, -1, -3], [-1, -2, -3]], [0, 0, 1, None])
    assert _value(Accuracy(), readout) == pytest.approx((1 + 0 + 0.5) / 3)


def test_accuracy_of_questions_with_fewer_options() -> None:
    readout = _choice([[-3, -1, math.nan], [-1, -2, math.nan]], [1, 1])
    assert _value(Accuracy(), readout) == pytest.approx(0.5)


def test_option_mass() -> None:
    readout = _choice([[math.log(0.2), math.log(0.3), math.nan], [math.log(0.1), math.log(0.1), -800.0]], [0, 0])
    assert _value(OptionMass(), readout) == pytest.approx((0.5 + 0.2) / 2)
    overlapping = _choice([[math.log(0.8), math.log(0.7)]], [0])
    assert math.isnan(_value(OptionMass(), overlapping))


def test_perplexity_and_divergence_count_every_token_once() -> None:
    cases = tuple(Case(str(i), "", "text", cluster=str(i)) for i in range(3))
    arrays = {
        "logp": torch.tensor([-6.0, -2.0, 0.0]),
        "tokens": torch.tensor([2, 2, 0]),
        "kl": torch.tensor([1.0, 3, 0]),
    }
    one = torch.ones(3)
    readout = Readout("sentence", cases, (), one, one, torch.arange(3), {"valid": one}, one.bool(), arrays=arrays)
    assert _value(Perplexity(), readout) == pytest.approx(math.exp(2.0))
    assert _value(KlToUnedited(), readout) == pytest.approx(1.0)
    del arrays["kl"]
    assert math.isnan(_value(KlToUnedited(), dataclasses.replace(readout, arrays=arrays)))
