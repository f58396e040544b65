"""Loops are compressed far, varied text is not."""

from __future__ import annotations

import dataclasses
import math
import random
import zlib

import pytest

from evenhand.core.measuring import point
from evenhand.core.readout import Readout
from evenhand.measures.compression_ratio import CompressionRatio
from evenhand.testing.measures import toy


def said(*answers: str) -> Readout:
    base = toy("text")
    return dataclasses.replace(base, answers=tuple(answers for _ in base.cases))


def value(*answers: str) -> float:
    return point(CompressionRatio(), said(*answers))["value"]


def test_the_more_it_repeats_the_higher() -> None:
    letters = random.Random(0).choices("abcdefghijklmnopqrstuvwxyz ", k=2000)
    varied, loop = "".join(letters), "and then " * 222
    assert value(varied) < 2 < 20 < value(loop)
    assert value(varied, varied) > 1.5 * value(varied)


def test_it_is_the_ratio_of_bytes() -> None:
    text = "Zoé said yes.\nZoé said no."
    assert value("Zoé said yes.", "Zoé said no.") == len(text.encode()) / len(zlib.compress(text.encode(), 9))


@pytest.mark.parametrize("answers", [(), ("",), ("", "")])
def test_nothing_said_is_undefined(answers: tuple[str, ...]) -> None:
    assert math.isnan(value(*answers))
