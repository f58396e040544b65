"""Mean log-likelihood of the name."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from evenhand.core.measuring import point
from evenhand.measures.identity_likelihood import IdentityLikelihood
from evenhand.testing.measures import toy


def test_it_is_the_mean_log_likelihood_of_the_favourable_option() -> None:
    base = toy("choice").where(lambda case: case.id in ("north0", "north1", "north2"))
    probability = torch.tensor([[0.5, 0.1, 0.1], [0.9, 0.25, 0.1], [0.9, 0.1, math.nan]], dtype=torch.float64)
    assert [case.favourable for case in base.cases] == [0, 1, 2]
    readout = dataclasses.replace(base, arrays={"logp": probability.log()})
    assert point(IdentityLikelihood(), readout)["value"] == pytest.approx(math.log(1 / 8) / 2)
