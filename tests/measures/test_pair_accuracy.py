"""The first sentence of a pair should be the likelier one."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from evenhand.core.measuring import point
from evenhand.core.readout import Readout
from evenhand.measures.pair_accuracy import PairAccuracy
from evenhand.testing.measures import Toy, toy


def with_logp(*logp: float) -> Readout:
    base = toy("pair")
    return dataclasses.replace(base, arrays={"logp": torch.tensor([logp] * len(base), dtype=torch.float64)})


def rigged() -> list[Toy]:
    return [(with_logp(-1, -2), None), (with_logp(-2, -1), None)]


@pytest.mark.parametrize(
    ("logp", "share"),
    [((-1, -1), 0.5), ((-1, -2, -1), 0.5), ((-3, -2, -1), 0), ((-1, torch.nan), 1), ((-800.5, -801), 1)],
)
def test_ties_count_by_their_share_and_padding_not_at_all(logp: tuple[float, ...], share: float) -> None:
    assert point(PairAccuracy(), with_logp(*logp))["value"] == share
