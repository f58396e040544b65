"""A number with its uncertainty: undefined is NaN, and NaN survives a file."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from evenhand.core.estimate import Estimate


def test_undefined_survives_json() -> None:
    written = Estimate(value=math.nan, low=math.nan, n=3).model_dump_json()
    assert "NaN" not in written
    assert '"value":null' in written
    again = Estimate.model_validate_json(written)
    assert math.isnan(again.value)
    assert again.n == 3
    assert not again.defined


def test_excludes_needs_the_whole_interval_on_one_side() -> None:
    assert Estimate(value=0.5, low=0.1, high=0.9).excludes()
    assert Estimate(value=-0.5, low=-0.9, high=-0.1).excludes()
    assert not Estimate(value=0.5, low=-0.1, high=0.9).excludes()
    assert not Estimate(value=0.5).excludes()
    assert Estimate(value=1.5, low=1.1, high=1.9).excludes(1.0)


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(value=math.nan, low=math.nan), "undefined"),
        (Estimate(value=0.6512, unit="SD"), "0.651 SD"),
        (Estimate(value=0.6512, low=0.5, high=0.7, unit="SD"), "0.651 SD [0.5, 0.7]"),
        (Estimate(value=18718.2, low=-16410.0, high=20000.0), "18,718 [-16,410, 20,000]"),
        (Estimate(value=0.0), "0"),
    ],
)
def test_text(estimate: Estimate, text: str) -> None:
    assert str(estimate) == text


def test_impossible_values_are_refused() -> None:
    with pytest.raises(ValidationError, match="ends before it begins"):
        Estimate(value=0.0, low=1.0, high=-1.0)
    with pytest.raises(ValidationError):
        Estimate(value=0.0, n=-1)
    with pytest.raises(ValidationError):
        Estimate(value=0.0, mean=1.0)  # type: ignore[call-arg]
