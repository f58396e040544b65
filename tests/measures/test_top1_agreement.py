"""Agreement is counted over tokens, and only beside the unedited model."""

from __future__ import annotations

import dataclasses
import math

import torch

from evenhand.core.measuring import point
from evenhand.core.readout import Readout
from evenhand.measures.top1_agreement import Top1Agreement
from evenhand.testing.measures import Toy, toy


def agreeing(tokens: int) -> Readout:
    """A text of 10 tokens and others of 40; `tokens` of each are agreed on."""
    base = toy("sentence")
    sizes = torch.tensor([10] + [40] * (len(base) - 1))
    agree = sizes if tokens < 0 else torch.full_like(sizes, tokens)
    return dataclasses.replace(base, arrays={**base.arrays, "tokens": sizes, "agree": agree.double()})


def rigged() -> list[Toy]:
    return [(agreeing(-1), None), (agreeing(0), None)]


def symmetric() -> list[Toy]:
    return [(agreeing(-1), None)]


def test_long_texts_count_for_more() -> None:
    assert point(Top1Agreement(), agreeing(5))["value"] == 12 * 5 / (10 + 11 * 40)


def test_without_the_unedited_model_there_is_no_value() -> None:
    base = toy("sentence")
    del base.arrays["agree"]
    assert math.isnan(point(Top1Agreement(), base)["value"])
