"""UnQover's numbers: against loops, at both ends, exactly 0 for a model without a preference, and where undefined."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from evenhand.core.bootstrap import Bootstrap
from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.core.measure import Subject
from evenhand.core.measuring import measure, point
from evenhand.core.readout import Readout
from evenhand.measures.unqover import Unqover
from evenhand.testing.measures import Toy
from oracles import unqover as oracle
from oracles.unqover import Quadruple

ALL = (1.0, 0.0)
NONE = (0.0, 1.0)


def _readout(quadruples: Sequence[Quadruple], prompt: str = "p") -> Readout:
    cases: list[Case] = []
    logp: list[list[float]] = []
    for number, one in enumerate(quadruples):
        asked = (("12", "no", one.first), ("21", "no", one.swapped), ("12", "yes", one.first_denied),
                 ("21", "yes", one.swapped_denied))  # fmt: skip
        for order, negated, scores in asked:
            facts = {"order": order, "negated": negated, "quadruple": str(number), "x1": one.x1, "x2": one.x2,
                     "attribute": one.attribute}  # fmt: skip
            cases.append(Case(f"{number}{order}{negated}", prompt, "here", cluster=f"{one.x1}|{one.x2}",
                              options=("x1", "x2"), facts=tuple(facts.items())))  # fmt: skip
            logp.append([math.log(s) if s else -math.inf for s in scores])
    n, one_each = len(cases), torch.ones(len(cases), dtype=torch.float64)
    return Readout("pair", tuple(cases), (), 0 * one_each, one_each, torch.arange(n), {"valid": one_each},
                   one_each.bool(), arrays={"logp": torch.tensor(logp, dtype=torch.float64)})  # fmt: skip


def _drawn(seed: int, n: int = 30) -> list[Quadruple]:
    draw = random.Random(seed)

    def scores() -> tuple[float, float]:
        share = draw.random()
        return share * (size := draw.random()), (1 - share) * size

    return [
        Quadruple(*draw.sample("pqrs", 2), draw.choice(("poor", "rude")), scores(), scores(), scores(), scores())
        for _ in range(n)
    ]


def rigged() -> list[Toy]:
    biased = Quadruple("p", "q", "poor", ALL, ALL, NONE, NONE)
    other_way = Quadruple("p", "q", "rude", NONE, NONE, ALL, ALL)
    even = Quadruple("p", "q", "poor", (0.5, 0.5), (0.5, 0.5), (0.5, 0.5), (0.5, 0.5))
    return [(_readout([biased, other_way]), None), (_readout([even, even]), None)]


@pytest.mark.parametrize("seed", range(10))
def test_as_counted_with_loops(seed: int) -> None:
    quadruples = _drawn(seed)
    found = point(Unqover(), _readout(quadruples))
    for name in ("mu", "eta", "delta", "epsilon"):
        assert found[name] == pytest.approx(getattr(oracle, name)(quadruples), abs=1e-12), name
    shared = [dataclasses.replace(one, **{part: _share(getattr(one, part)) for part in PARTS}) for one in quadruples]
    for name in ("mu", "delta", "epsilon"):
        assert found[f"relative_{name}"] == pytest.approx(getattr(oracle, name)(shared), abs=1e-12), name
    answered = [sum(getattr(one, part)) for one in quadruples for part in PARTS]
    assert found["answered"] == pytest.approx(sum(answered) / len(answered))


PARTS = ("first", "swapped", "first_denied", "swapped_denied")


def _share(scores: tuple[float, float]) -> tuple[float, float]:
    return scores[0] / sum(scores), scores[1] / sum(scores)


def test_a_rigged_model_has_all_bias_and_no_other_error() -> None:
    found = point(Unqover(), rigged()[0][0])
    assert found == {"mu": 1.0, "eta": 1.0, "delta": 0.0, "epsilon": 0.0, "answered": 1.0, "relative_mu": 1.0,
                     "relative_delta": 0.0, "relative_epsilon": 0.0}  # fmt: skip


def test_a_model_without_preference_has_exactly_none() -> None:
    found = point(Unqover(), rigged()[1][0])
    assert found == {"mu": 0.0, "eta": 0.0, "delta": 0.0, "epsilon": 0.0, "answered": 1.0, "relative_mu": 0.0,
                     "relative_delta": 0.0, "relative_epsilon": 0.0}  # fmt: skip


def test_a_liking_for_a_place_or_a_subject_is_no_bias() -> None:
    """The first subject always wins; or x1 always wins, whatever is asked."""
    place = point(Unqover(), _readout([Quadruple("p", "q", "poor", ALL, NONE, ALL, NONE)]))
    assert (place["mu"], place["eta"], place["delta"], place["epsilon"]) == (0, 0, 1, 1)
    subject = point(Unqover(), _readout([Quadruple("p", "q", "poor", ALL, ALL, ALL, ALL)]))
    assert (subject["mu"], subject["eta"], subject["delta"], subject["epsilon"]) == (0, 0, 0, 1)


def test_opposite_quadruples_cancel_in_a_subject_and_attribute() -> None:
    biased = Quadruple("p", "q", "poor", ALL, ALL, NONE, NONE)
    other_way = dataclasses.replace(biased, first=NONE, swapped=NONE, first_denied=ALL, swapped_denied=ALL)
    found = point(Unqover(), _readout([biased, other_way]))
    assert (found["mu"], found["eta"]) == (0, 0)
    found = point(Unqover(), _readout([biased, biased, other_way]))
    assert found["mu"] == found["eta"] == pytest.approx(1 / 3)


def test_a_part_of_a_quadruple_is_left_out() -> None:
    quadruples = _drawn(1)
    whole = _readout(quadruples)
    part = whole.where(lambda case: case.id != "012no")
    assert point(Unqover(), part) == pytest.approx(point(Unqover(), _readout(quadruples[1:])))
    broken = dataclasses.replace(whole, arrays={"logp": whole.arrays["logp"].clone()})
    broken.arrays["logp"][2, 1] = math.nan
    assert point(Unqover(), broken) == pytest.approx(point(Unqover(), _readout(quadruples[1:])))
    assert all(math.isnan(value) for value in point(Unqover(), whole.where(lambda case: "no" in case.id)).values())


def test_numbers_too_small_for_a_probability_still_have_a_relative_one() -> None:
    tiny = _readout(_drawn(2))
    small = dataclasses.replace(tiny, arrays={"logp": tiny.arrays["logp"] - 900})
    found, before = point(Unqover(), small), point(Unqover(), tiny)
    assert found["mu"] == 0
    assert found["relative_mu"] == pytest.approx(before["relative_mu"])


def test_intervals_resample_pairs_of_subjects() -> None:
    rows: list[Any] = list(measure({"unqover": Unqover()}, Subject("base", _readout(_drawn(3, 200))), Bootstrap(200)))
    assert {row.key for row in rows} >= {"mu", "eta", "delta", "epsilon"}
    for row in rows:
        assert row.estimate.low <= row.estimate.high
        assert row.estimate.n_clusters == 12
        assert math.isnan(row.estimate.p)


def test_whole_texts_need_what_differs_between_them() -> None:
    quadruples = _drawn(4)
    whole = _readout(quadruples, prompt="")
    with pytest.raises(CannotRun, match="masked model"):
        point(Unqover(), whole)
    masked = dataclasses.replace(whole, arrays={"logp": whole.arrays["logp"] - 5, "logp_changed": whole.arrays["logp"]})
    assert point(Unqover(), masked) == point(Unqover(), _readout(quadruples))
