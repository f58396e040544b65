from __future__ import annotations

import math

import pytest

from evenhand.core.estimate import Estimate
from evenhand.report import words


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(-0.84, 2, "−0.84"), (1234.5, 1, "1,234.5"), (-0.001, 2, "0.00"), (math.nan, 2, "undefined"),
     (math.inf, 2, "infinite")],
)  # fmt: skip
def test_numbers_are_for_people(value: float, digits: int, expected: str) -> None:
    assert words.number(value, digits) == expected


def test_a_sign_is_shown_on_request_but_never_on_zero() -> None:
    assert words.number(0.31, sign=True) == "+0.31"
    assert words.number(0.001, sign=True) == "0.00"


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.031, "3.1\u00a0%"), (0.82, "82\u00a0%"), (0.995, "99.5\u00a0%"), (0.0, "0\u00a0%"), (1.0, "100\u00a0%"),
     (0.0001, "less than 0.1\u00a0%"), (math.nan, "undefined")],
)  # fmt: skip
def test_shares(share: float, expected: str) -> None:
    assert words.percent(share) == expected


def test_changes_of_shares_are_in_points() -> None:
    assert words.points(Estimate(value=-0.004, low=-0.011, high=0.00001)) == "−0.4 points (−1.1 to 0.0)"
    assert words.points(Estimate(value=math.nan)) == "undefined"
    assert words.percent(0.0001, sign=True) == "0.0\u00a0%"


def test_no_q_is_zero() -> None:
    assert (words.q(0.0), words.q(0.0123), words.q(math.nan)) == ("under 0.001", "0.012", "undefined")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(12.43, "12.4"), (1234.0, "1,234"), (0.01234, "0.0123"), (0.0, "0"), (math.nan, "undefined")],
)
def test_three_figures(value: float, expected: str) -> None:
    assert words.figure(value) == expected


def test_an_undefined_estimate_is_said_not_shown_as_zero() -> None:
    assert words.estimate(Estimate(value=math.nan)) == "undefined"
    assert words.estimate(Estimate(value=0.5)) == "0.50 (no interval)"
    assert words.estimate(Estimate(value=-0.5, low=-0.7, high=-0.3)) == "−0.50 (−0.70 to −0.30)"


def test_direction_follows_what_is_favourable() -> None:
    assert words.direction(0.8, "high", "black", "white") == "against black names"
    assert words.direction(0.8, "low", "black", "white") == "in favour of black names"
    assert words.direction(-0.8, "low", "black", "white") == "against black names"
    assert words.direction(math.nan, "high", "black", "white") == "between white and black names"


def test_lists_read_like_prose() -> None:
    assert words.listing(["a"]) == "a"
    assert words.listing(["a", "b", "c"]) == "a, b and c"
    assert words.listing(list("abcdefg")) == "a, b, c, d and 3 others"
    assert words.listing([]) == "none"


def test_tokens_show_their_spaces() -> None:
    assert words.token(" low\n") == "␣low⏎"
    assert words.token("") == "(empty)"
