"""Bits per byte from nats per text."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.measuring import point
from evenhand.measures.bits_per_byte import BitsPerByte
from evenhand.testing.measures import toy


def test_bytes_are_those_of_the_text_whatever_the_tokens() -> None:
    base = toy("sentence").where(lambda case: case.id in ("north0", "north1"))
    cases = (Case("0", "Zoé.", "c"), Case("1", "eight b.", "c"))
    values: list[float] = []
    for tokens in ([2, 3], [20, 30]):
        arrays = {"logp": torch.tensor([-5.0, -8.0]) * math.log(2), "tokens": torch.tensor(tokens)}
        values.append(point(BitsPerByte(), dataclasses.replace(base, cases=cases, arrays=arrays))["value"])
    assert values == pytest.approx([1.0, 1.0])


def test_a_text_without_tokens_is_undefined() -> None:
    base = toy("sentence").where(lambda case: case.id == "north0")
    base.arrays["tokens"][0] = 0
    assert math.isnan(point(BitsPerByte(), base)["value"])
