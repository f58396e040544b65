"""A case refuses spans that are not in its texts."""

from __future__ import annotations

import dataclasses

import pytest

from evenhand.core.case import Case
from evenhand.core.errors import UsageError

TEXT = "The lamps are dull."


@pytest.mark.parametrize(
    "spans",
    [((14, 9000),), ((-5, 2),), ((14, 18), (18, 20)), ((5, 5),), ((9, 4),)],
    ids=["too far", "before it", "one of two", "empty", "backwards"],
)
def test_spans_outside_the_text_are_refused(spans: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(
        UsageError, match=r"case 'dull': its spans .* are not all in its text of 19 characters; expected"
    ):
        Case("dull", TEXT, "texts", spans=spans)
    with pytest.raises(UsageError, match="not all in its text"):
        dataclasses.replace(Case("dull", TEXT, "texts", spans=((0, 19),)), spans=spans)
    with pytest.raises(UsageError, match=r"options: 19, 2"):
        Case("pair", "", "texts", options=(TEXT, "On"), spans=((14, 18), spans[-1]))


def test_spans_are_in_the_text_or_one_in_each_option() -> None:
    assert Case("dull", TEXT, "texts", spans=((14, 19), (0, 3))).spans
    assert Case("pair", "", "texts", options=(TEXT, "On."), spans=((14, 18), (0, 2))).spans
    with pytest.raises(UsageError, match="one to each"):
        Case("pair", "", "texts", options=(TEXT, "On."), spans=((14, 18),))
