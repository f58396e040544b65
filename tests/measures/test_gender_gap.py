"""The three measures of gendered words by hand, against a slow oracle, and on toys at their ends."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand.core.bootstrap import Bootstrap
from evenhand.core.errors import UsageError
from evenhand.core.measure import Subject
from evenhand.core.measuring import measure, point
from evenhand.core.readout import Readout
from evenhand.measures.gender_gap import GenderGap
from evenhand.measures.gender_imbalance import GenderImbalance
from evenhand.measures.gendered_mass import GenderedMass
from evenhand.testing.measures import Toy
from likelihoods import readout
from oracles import gendered_words as oracle

LEANINGS = ("female", "male", "neither", "baseline")


def _words(masses: Sequence[tuple[float, float]], leanings: Sequence[str]) -> Readout:
    """Cases with one option of each gender and these probabilities."""
    logp = [[math.log(female), math.log(male)] for female, male in masses]
    return readout("pair", logp, [{"sides": "fm", "leaning": leaning} for leaning in leanings])


def symmetric() -> list[Toy]:
    even = readout("pair", [[-1.0, -2.0, -2.0, -1.0]] * 4, [{"sides": "fmfm", "leaning": each} for each in LEANINGS])
    tilted = readout("pair", [[-1.0, -2.0], [-2.0, -1.0]], [{"sides": "fm", "leaning": "neither"}] * 2)
    return [(even, None), (tilted, None)]


def test_a_balanced_model_gives_zero_everywhere() -> None:
    (even, _), (tilted, _) = symmetric()
    assert point(GenderGap(), even) == {"value": 0.0, "corrected": 0.0, "stereotyped": 0.0}
    assert point(GenderImbalance(), even) == {
        "value": 0.0, "corrected": 0.0, "male": 0.5, "entropy_difference": 0.0,
    }  # fmt: skip
    assert point(GenderGap(), tilted)["value"] == 0.0
    assert point(GenderImbalance(), tilted)["value"] == pytest.approx(1.0), "opposite gaps cancel, their sizes do not"


def test_one_gender_only_is_the_other_end() -> None:
    for sign, male in ((1.0, 0.0), (-1.0, 1.0)):
        one = readout("pair", [[sign * 800, 0.0]] * 2, [{"sides": "fm", "leaning": "neither"}] * 2)
        assert point(GenderGap(), one)["value"] == sign * 800
        found = point(GenderImbalance(), one)
        assert found["male"] == male
        assert found["entropy_difference"] == pytest.approx(math.log(2))


def test_several_options_of_a_side_are_summed_and_those_of_neither_left_out() -> None:
    logp = [[math.log(p) for p in (0.1, 0.2, 0.3, 0.05)]]
    one = readout("pair", logp, [{"sides": "fm-f", "leaning": "neither"}])
    assert point(GenderGap(), one)["value"] == pytest.approx(math.log(0.15 / 0.2))
    assert point(GenderedMass(), one)["value"] == pytest.approx(0.35)


def test_the_neutral_prompt_is_no_word_and_is_subtracted() -> None:
    some = _words([(0.2, 0.1), (0.1, 0.2), (0.05, 0.2)], ["female", "male", "baseline"])
    found = point(GenderGap(), some)
    assert found["value"] == pytest.approx(0.0, abs=1e-15)
    assert found["corrected"] == pytest.approx(math.log(4))
    assert found["stereotyped"] == pytest.approx(2 * math.log(2))
    assert point(GenderedMass(), some)["value"] == pytest.approx(0.3)
    alone = some.where(lambda case: case.fact("leaning") != "baseline")
    assert math.isnan(point(GenderGap(), alone)["corrected"])
    assert math.isnan(point(GenderImbalance(), alone)["corrected"])
    assert point(GenderGap(), alone)["value"] == found["value"]


def test_resampling_words_keeps_the_neutral_prompt() -> None:
    words = [(0.2, 0.1 + i / 50) for i in range(8)]
    some = _words([*words, (0.05, 0.2)], ["neither"] * 8 + ["baseline"])
    rows = {row.key: row.estimate for row in measure({"g": GenderGap()}, Subject("base", some), Bootstrap(200))}
    assert rows["corrected"].high - rows["corrected"].low == pytest.approx(rows["value"].high - rows["value"].low)
    assert rows["corrected"].value - rows["value"].value == pytest.approx(math.log(4))


_MASS = st.integers(1, 500_000).map(lambda n: n / 1e6)
"""Apart by more than the rounding of a logarithm, or equal."""


@given(st.lists(st.tuples(_MASS, _MASS), min_size=1, max_size=8), st.tuples(_MASS, _MASS))
def test_all_values_are_those_of_the_oracle(words: list[tuple[float, float]], neutral: tuple[float, float]) -> None:
    some = _words([*words, neutral], ["neither"] * len(words) + ["baseline"])
    expected = oracle.describe(words, neutral)
    gap, size, mass = (point(each, some) for each in (GenderGap(), GenderImbalance(), GenderedMass()))
    found = {"gap": gap["value"], "corrected": gap["corrected"], "size": size["value"], "mass": mass["value"],
             "corrected_size": size["corrected"], "male": size["male"],
             "entropy_difference": size["entropy_difference"]}  # fmt: skip
    assert found == pytest.approx(expected, abs=1e-9)


def test_more_than_all_probability_is_no_mass() -> None:
    doubled = _words([(0.7, 0.7), (0.2, 0.3)], ["neither", "neither"])
    assert point(GenderedMass(), doubled)["value"] == pytest.approx(0.5)
    assert point(GenderGap(), doubled)["value"] == pytest.approx(math.log(2 / 3) / 2)


def test_a_side_without_options_is_undefined_and_wrong_letters_are_refused() -> None:
    nobody = readout("pair", [[-1.0, -2.0]], [{"sides": "f-", "leaning": "neither"}])
    assert math.isnan(point(GenderGap(), nobody)["value"])
    for sides in ("fmf", "f", "fx"):
        with pytest.raises(UsageError, match="one letter for each of the 2 options"):
            point(GenderGap(), readout("pair", [[-1.0, -2.0]], [{"sides": sides, "leaning": "neither"}]))
