"""Differences of hate gaps between groups: by hand, and paired by template in every replicate."""

from __future__ import annotations

import dataclasses
import random

import pytest
import torch

from evenhand.core.bootstrap import Bootstrap
from evenhand.core.case import Case
from evenhand.core.measure import Subject
from evenhand.core.measuring import measure, point
from evenhand.core.readout import Readout
from evenhand.measures.hate_gap_difference import HateGapDifference
from evenhand.measures.hate_likelihood_gap import HateLikelihoodGap
from evenhand.testing.measures import Toy

LIFT = {"hateful": 0.75, "neutral": 0.25}


def _readout(lift: dict[str, float], own: bool = False, seed: int = 0) -> Readout:
    """Ten templates of very unequal likelihood on each side; those about b are likelier by `lift` than those about a.

    With `own` the templates about b are not those about a.
    """
    draw = random.Random(seed)
    level = {(side, i): -draw.uniform(1, 50) for side in LIFT for i in range(10)}
    cases, values = [], []
    for group in ("a", "b"):
        for (side, i), base in level.items():
            template = f"{side}{i}{group if own else ''}"
            facts = (("side", side), ("template", template))
            cases.append(Case(f"{group}{side}{i}", "x", "c", group=group, cluster=template, facts=facts))
            values.append(base + (lift[side] if group == "b" else 0.0))
    value, one = torch.tensor(values, dtype=torch.float64), torch.ones(len(values), dtype=torch.float64)
    return Readout("sentence", tuple(cases), ("a", "b"), value, one, torch.arange(len(one)), {"valid": one},
                   one.bool(), arrays={"logp": 4 * value, "tokens": 4 * one})  # fmt: skip


def symmetric() -> list[Toy]:
    return [(_readout({"hateful": 0.0, "neutral": 0.0}), None)]


def _estimate(readout: Readout, key: str = "value") -> tuple[float, float, float]:
    rows = measure({"difference": HateGapDifference()}, Subject("base", readout), Bootstrap(200))
    (found,) = [row.estimate for row in rows if row.key == key and row.groups == ("a", "b")]
    return found.low, found.value, found.high


def test_the_value_is_the_difference_of_the_gaps_of_both_groups() -> None:
    readout = _readout(LIFT)
    values = point(HateGapDifference(), readout)
    assert values == pytest.approx({"value": 0.5, "value.hateful": 0.75, "value.neutral": 0.25})
    gaps = [point(HateLikelihoodGap(), readout.between(group))["value"] for group in ("a", "b")]
    assert values["value"] == pytest.approx(gaps[1] - gaps[0])


def test_parallel_templates_are_drawn_together_and_others_are_not() -> None:
    low, value, high = _estimate(_readout(LIFT))
    assert (low, value, high) == pytest.approx((0.5, 0.5, 0.5))  # templates differ by up to 49 nats: pairing removes it
    low, value, high = _estimate(_readout(LIFT, own=True))
    assert value == pytest.approx(0.5)
    assert high - low > 5


def test_a_template_missing_about_one_group_stays_in_the_mean_of_the_other() -> None:
    readout = _readout(LIFT)
    defined = readout.defined.clone()
    gone = next(i for i, case in enumerate(readout.cases) if case.id == "bhateful3")
    defined[gone] = False
    broken = dataclasses.replace(readout, defined=defined)
    gaps = [point(HateLikelihoodGap(), broken.between(group))["value"] for group in ("a", "b")]
    assert point(HateGapDifference(), broken)["value"] == pytest.approx(gaps[1] - gaps[0])
    assert gaps[1] - gaps[0] != pytest.approx(0.5)
