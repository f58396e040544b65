"""Differences over several runs: shared draws, an interval that knows how runs differ, and what one run leaves open."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from evenhand import find
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.case import Case
from evenhand.core.measure import Subject
from evenhand.core.measuring import Sides, measure
from evenhand.core.readout import Readout
from evenhand.core.repeated import Repeated, repeated

BOOT = Bootstrap(replicates=100)
MEAN = {"mean": find.build("measures", "mean")}


def _read(value: torch.Tensor, clusters: list[int], variation: str = "") -> Readout:
    cases = tuple(Case(f"{variation}{i}", "", "c", variation, "g", f"n{i}") for i in clusters)
    one = torch.ones(len(cases), dtype=torch.float64)
    known = ~value.isnan()
    return Readout(
        "number", cases, ("g",), value.nan_to_num(), one, torch.arange(len(cases)), {"valid": one}, known, ddof=1
    )


def _run(change: torch.Tensor, clusters: list[int]) -> Sides:
    base = _read(torch.zeros(len(clusters), dtype=torch.float64), clusters)
    return Subject("edit", _read(change, clusters), base), Subject("base", base)


def _of(runs: list[Sides], bootstrap: Bootstrap = BOOT) -> Repeated:
    (found,) = [each for each in repeated(MEAN, runs, bootstrap) if each.row.key == "value"]
    return found


def _runs(seed: int, runs: int, spread: float) -> list[Sides]:
    """True change 0: noise of clusters, which runs share where they have the same ones, and of runs."""
    draw = torch.Generator().manual_seed(seed)
    noise = torch.randn(60, generator=draw, dtype=torch.float64)
    found: list[Sides] = []
    for _ in range(runs):
        clusters = torch.randperm(60, generator=draw)[:20]
        moved = noise[clusters] + spread * torch.randn(1, generator=draw, dtype=torch.float64)
        found.append(_run(moved, clusters.tolist()))
    return found


@pytest.mark.parametrize("spread", [0.0, 0.2, 1.0])
def test_intervals_cover_the_truth_however_runs_differ(spread: float) -> None:
    found = [_of(_runs(seed, 3, spread)).row.estimate for seed in range(90)]
    assert sum(each.low <= 0 <= each.high for each in found) / 90 >= 0.91
    assert sum(each.p < 0.05 for each in found) / 90 <= 0.11


def test_what_differs_between_runs_widens_the_interval_and_p_agrees_with_it() -> None:
    clusters = list(range(30))
    noise = torch.randn(30, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 0.1
    alike = _of([_run(noise + 0.5, clusters)] * 3).row.estimate
    apart = _of([_run(noise + each, clusters) for each in (0.1, 0.5, 0.9)]).row.estimate
    assert alike.value == pytest.approx(apart.value)
    assert alike.low > 0
    assert alike.p < 0.05
    assert apart.low < 0 < apart.high
    assert apart.p > 0.05


def test_runs_on_the_same_clusters_share_their_draw() -> None:
    clusters = list(range(40))
    noise = torch.randn(40, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    one, three = _of([_run(noise, clusters)]).row.estimate, _of([_run(noise, clusters)] * 3).row.estimate
    assert three.value == pytest.approx(one.value)
    assert three.high - three.low == pytest.approx(one.high - one.low, rel=0.1)  # three times the same is no news


def test_one_run_is_the_paired_difference_of_measure() -> None:
    (sides,) = _runs(7, 1, 0.0)
    row = next(r for r in measure(MEAN, sides[0], BOOT, sides[1]) if r.key == "value" and not r.variation)
    found = _of([sides])
    assert found.row == row
    assert found.runs == (row.estimate.value,)


def test_variations_are_averaged_inside_a_run() -> None:
    clusters = list(range(8))
    one, base = (
        [_read(torch.full((8,), value, dtype=torch.float64), clusters, name) for name, value in values]
        for values in ((("x", 1.0), ("y", 3.0)), (("x", 0.0), ("y", 0.0)))
    )
    whole = torch.ones(16, dtype=torch.float64)
    joined = [
        dataclasses.replace(x, cases=x.cases + y.cases, value=torch.cat([x.value, y.value]), mass=whole,
                            row=torch.arange(16), shares={"valid": whole}, defined=whole.bool())
        for x, y in (one, base)
    ]  # fmt: skip
    found = _of([(Subject("edit", joined[0], joined[1]), Subject("base", joined[1]))] * 2)
    assert found.row.variation == ""
    assert found.runs == (2.0, 2.0)


def test_undefined_runs_are_left_out_and_too_few_clusters_have_no_interval() -> None:
    clusters = list(range(6))
    nothing = _run(torch.full((6,), math.nan, dtype=torch.float64), clusters)
    some = _run(torch.ones(6, dtype=torch.float64), clusters)
    found = _of([nothing, some])
    assert found.row.estimate.value == 1.0
    assert math.isnan(found.row.estimate.p)  # one seed of two: nothing is known of how seeds differ
    assert math.isnan(found.row.estimate.low)
    assert math.isnan(found.runs[0])
    assert found.runs[1] == 1.0
    few = _of([_run(torch.ones(3, dtype=torch.float64), [0, 1, 2])] * 2).row.estimate
    assert few.value == 1.0
    assert math.isnan(few.low)
    assert math.isnan(few.p)
    none = _of([nothing, nothing]).row.estimate
    assert math.isnan(none.value)
    assert math.isnan(none.p)


def test_sides_of_other_cases_are_refused() -> None:
    edit, _ = _run(torch.ones(3, dtype=torch.float64), [0, 1, 2])
    _, base = _run(torch.ones(3, dtype=torch.float64), [0, 1, 3])
    with pytest.raises(ValueError, match="the same cases"):
        list(repeated(MEAN, [(edit, base)], BOOT))
