"""Sizes, the rule that chooses one, controls, and the gap it looks at."""

import math
from itertools import pairwise

import pytest
import torch

from evenhand import find
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.case import Case
from evenhand.core.component import Selection
from evenhand.core.errors import UsageError
from evenhand.core.estimate import Estimate
from evenhand.core.measure import Subject
from evenhand.core.measuring import measure
from evenhand.core.readout import Readout
from evenhand.core.record import SweepPoint
from evenhand.edits.scale import Scale
from evenhand.study.config import BudgetConfig
from evenhand.study.gap import mean_gap, perplexity, valid_share
from evenhand.study.sweep import choose, resolve
from evenhand.testing.tiny import tiny_lm


def test_sizes_are_counts_or_shares_and_the_grid_is_logarithmic():
    assert resolve((0, 3, 0.01, 1.0, 3.0), 200) == (2, 3, 200)
    grid = resolve("grid", 2112)
    assert (grid[0], grid[-1]) == (1, 105)
    assert grid == tuple(sorted(set(grid)))
    assert all(later / earlier < 2.1 for earlier, later in pairwise(grid))
    with pytest.raises(UsageError, match="asked for 201 units, but the model has 200"):
        resolve((201,), 200)


def _point(units, gap, ratio=1.0, valid=1.0):
    return SweepPoint(units=units, share=0.0, gap=Estimate(value=gap), random_gap=Estimate(value=math.nan), valid=valid,
                      perplexity_ratio=ratio)  # fmt: skip


@pytest.mark.parametrize(
    ("points", "best", "note"),
    [
        ([(0, 1.0), (1, 0.5), (2, 0.105), (4, 0.1), (8, 0.3)], 2, ""),  # within the tolerance the smaller one wins
        ([(0, 1.0), (1, 0.5), (2, 0.1, 1.03)], 1, ""),  # too much perplexity
        ([(0, 1.0), (1, 0.5), (2, 0.1, 1.0, 0.98)], 1, ""),  # too few valid answers
        ([(0, 1.0), (1, 0.5), (2, math.nan)], 1, ""),  # undefined is never best
        (
            [(0, 1.0), (1, 0.5, math.nan)],
            0,
            "Nothing helped: no size lowered the gap of 1 sd by more than 0.01 within the damage budget (1 of 1",
        ),
        ([(0, 0.1), (1, 0.5), (2, 0.3)], 0, "Nothing helped: no size lowered the gap"),
        ([(0, math.nan), (1, 0.5)], 0, "The gap is undefined"),
    ],
)
def test_the_smallest_size_with_the_smallest_gap_within_the_budget_is_chosen(points, best, note):
    found, said = choose([_point(*point) for point in points], BudgetConfig())
    assert found == best
    assert said.startswith(note)
    assert bool(said) == (best == 0)


def test_a_control_has_as_many_units_in_every_layer_and_is_drawn_by_seed():
    layout = tiny_lm("llama").layout("neuron")
    edit = Scale(Selection.of(layout, [1, 2, 50, 100]), 0.5)
    random = edit.control(7)
    assert random.selection.per_layer() == edit.selection.per_layer()
    assert not len(random.selection & edit.selection)
    assert random.factor == 0.5
    assert edit.control(7).selection == random.selection
    assert edit.control(8).selection != random.selection


def _readout(kind, contexts, shift, seed=0, names=12):
    generator = torch.Generator().manual_seed(seed)
    cases = tuple(
        Case(id=f"{c}/{v}/{g}{n}", prompt="", context=c, variation=v, group=g, cluster=f"{g}{n}")
        for c in contexts for v in ("x", "y") for g in ("a", "b") for n in range(names)
    )  # fmt: skip
    sign = torch.tensor([0.0 if case.group == "a" else shift * (1 if case.variation == "x" else -1) for case in cases])
    value = torch.randn(len(cases), generator=generator) + sign
    ones = torch.ones(len(cases))
    return Readout(kind=kind, cases=cases, groups=("a", "b"), value=value, mass=ones, row=torch.arange(len(cases)),
                   shares={"valid": ones}, defined=ones.bool())  # fmt: skip


def test_the_gap_is_the_mean_absolute_one_with_the_interval_of_one_joint_draw():
    """For one context it is the row `value.abs` of the measure, interval included."""
    readout, bootstrap = _readout("number", ["c"], 1.5), Bootstrap(replicates=300)
    smd = {"smd": find.build("measures", "standardised_mean_difference")}
    row = next(r for r in measure(smd, Subject("base", readout), bootstrap) if r.key == "value.abs" and not r.variation)
    gap = mean_gap([readout], bootstrap)
    assert gap.value == pytest.approx(row.estimate.value, abs=1e-12)
    assert (gap.low, gap.high) == pytest.approx((row.estimate.low, row.estimate.high), abs=1e-12)
    two = mean_gap([readout, _readout("choice", ["d"], 0.0, seed=1)], bootstrap)
    assert 0 < two.value < gap.value
    assert two.n_clusters == 24


def test_nothing_measured_is_undefined_not_zero():
    empty = _readout("number", ["c"], 0.0).where(lambda case: False)
    assert math.isnan(mean_gap([empty], Bootstrap(replicates=50)).value)
    assert math.isnan(mean_gap([], Bootstrap(replicates=50)).value)
    assert math.isnan(perplexity([]))
    assert math.isnan(valid_share([]))
