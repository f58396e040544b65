"""The spread of descriptors against nested loops; forms of any level add nothing, noise is taken off."""

from __future__ import annotations

import math
import random
import statistics

import pytest
import torch

from evenhand.core.case import Case
from evenhand.core.measuring import point
from evenhand.core.readout import Readout
from evenhand.measures.likelihood_spread import LikelihoodSpread

Table = dict[tuple[str, str], float]
"""(descriptor, form) → nats per token."""


def _readout(table: Table) -> Readout:
    cases = tuple(
        Case(f"{who}/{form}", "x", "c", cluster=who, facts=(("descriptor", who), ("form", form))) for who, form in table
    )
    value, one = torch.tensor(list(table.values()), dtype=torch.float64), torch.ones(len(table), dtype=torch.float64)
    return Readout("sentence", cases, (), value, one, torch.arange(len(one)), {"valid": one}, one.bool(),
                   arrays={"logp": 3 * value, "tokens": 3 * one})  # fmt: skip


def _table(levels: dict[str, float], forms: dict[str, float], noise: float = 0.0) -> Table:
    draw = random.Random(1)
    return {(who, form): a + b + noise * draw.gauss(0, 1) for who, a in levels.items() for form, b in forms.items()}


def _by_loops(table: Table) -> tuple[float, float]:
    forms = {form: statistics.mean(v for (_, f), v in table.items() if f == form) for _, form in table}
    means, noise = [], []
    for who in dict.fromkeys(who for who, _ in table):
        left = [value - forms[form] for (w, form), value in table.items() if w == who]
        means.append(statistics.mean(left))
        noise.append(statistics.variance(left) / len(left))
    variance = statistics.variance(means)
    return math.sqrt(variance), math.sqrt(max(0.0, variance - statistics.mean(noise)))


FORMS = {"one": -1.0, "two": -7.0, "three": -2.5}


@pytest.mark.parametrize("noise", [0.0, 0.1, 2.0])
def test_equals_nested_loops(noise: float) -> None:
    table = _table({f"d{i}": 0.3 * i for i in range(9)}, FORMS, noise)
    spread, corrected = _by_loops(table)
    values = point(LikelihoodSpread(), _readout(table))
    assert values == pytest.approx({"value": spread, "corrected": corrected}, abs=1e-9)
    assert corrected <= spread


def test_descriptors_that_are_alike_have_no_spread_whatever_the_forms() -> None:
    values = point(LikelihoodSpread(), _readout(_table({f"d{i}": -4.0 for i in range(6)}, FORMS)))
    assert values == pytest.approx({"value": 0.0, "corrected": 0.0}, abs=1e-12)


def test_noise_alone_is_taken_off_and_a_true_spread_is_kept() -> None:
    many = {str(i): 0.0 for i in range(12)}
    alike = point(LikelihoodSpread(), _readout(_table({f"d{i}": 0.0 for i in range(300)}, many, 1.0)))
    assert alike["value"] == pytest.approx(1 / math.sqrt(12), rel=0.1)
    assert alike["corrected"] < 0.1
    apart = point(LikelihoodSpread(), _readout(_table({f"d{i}": float(i % 2) for i in range(300)}, many, 1.0)))
    assert apart["corrected"] == pytest.approx(0.5, rel=0.1)
    assert apart["value"] > apart["corrected"]


def test_one_descriptor_has_no_spread_and_one_form_no_noise() -> None:
    one = point(LikelihoodSpread(), _readout(_table({"d": 0.0}, FORMS)))
    assert math.isnan(one["value"])
    single = point(LikelihoodSpread(), _readout(_table({"a": 0.0, "b": 2.0}, {"one": 0.0})))
    assert single["value"] == pytest.approx(math.sqrt(2))
    assert math.isnan(single["corrected"])
