"""From readouts to rows: what is compared, paired differences, and intervals that hold what they promise."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from evenhand import find
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.case import Case
from evenhand.core.declared import facts_of
from evenhand.core.measure import Subject
from evenhand.core.measuring import measure, point
from evenhand.core.readout import Readout
from evenhand.core.record import Row
from evenhand.testing.measures import permuted, toy
from oracles import written_out

BOOT = Bootstrap(replicates=200)
SMD = {"standardised_mean_difference": find.build("measures", "standardised_mean_difference")}


def _audit(names: int, gap: float, seed: int, variations: int = 1, groups: tuple[str, ...] = ("a", "b")) -> Readout:
    """Sampled answers of standard deviation 1, half of the variance between names; the first group gets `gap` more."""
    draw = torch.Generator().manual_seed(seed)
    each = 20
    own = {g: torch.randn(names, generator=draw, dtype=torch.float64) * 0.5**0.5 for g in groups}
    cases = [
        Case(f"{v}{g}{i}", "", "c", str(v), g, f"{g}{i}")
        for v in range(variations)
        for g in groups
        for i in range(names)
    ]
    centre = torch.stack([own[c.group][int(c.cluster[1:])] + gap * (c.group == groups[0]) for c in cases])
    value = centre[:, None] + torch.randn(len(cases), each, generator=draw, dtype=torch.float64) * 0.5**0.5
    one = torch.ones(len(cases), dtype=torch.float64)
    row = torch.arange(len(cases)).repeat_interleave(each)
    return Readout("number", tuple(cases), groups, value.flatten(), one[row], row, {"valid": one}, one.bool(), ddof=1)


def _rows(readout: Readout, bootstrap: Bootstrap = BOOT, base: Readout | None = None) -> list[Row]:
    against = Subject("base", base) if base else None
    return list(measure(SMD, Subject("edit" if base else "base", readout, base), bootstrap, against))


@pytest.mark.parametrize(("names", "at_least"), [(5, 0.90), (8, 0.90), (16, 0.93)])
def test_intervals_cover_the_truth(names: int, at_least: float) -> None:
    covered = 0
    for seed in range(400):
        estimate = _rows(_audit(names, 0.6, seed), Bootstrap(replicates=200, seed=seed))[0].estimate
        covered += estimate.low <= 0.6 <= estimate.high
    assert covered / 400 >= at_least


def test_no_gap_is_found_where_none_is() -> None:
    ps = [_rows(_audit(12, 0.0, seed), Bootstrap(replicates=200, seed=seed))[0].estimate.p for seed in range(200)]
    assert sum(p < 0.05 for p in ps) / 200 <= 0.08
    assert 0.35 < sum(p < 0.5 for p in ps) / 200 < 0.65


@pytest.mark.parametrize("name", ["standardised_mean_difference", "ratio_of_means", "earth_movers_distance"])
@pytest.mark.parametrize("kind", ["sample", "exact"])
def test_replicates_equal_explicit_resampling(name: str, kind: str) -> None:
    readout = _audit(5, 0.5, 0) if kind == "sample" else toy("number", shift=2.0)
    readout = dataclasses.replace(readout, value=readout.value + 100)
    each, oracle = find.build("measures", name), getattr(written_out, name)
    stats = each.per_case(readout)
    for weights in [torch.ones(1, len(readout)).double(), *Bootstrap(replicates=20, chunk=7).weights(readout.cases)]:
        got = each.combine(stats, weights)["value"].tolist()
        assert got == pytest.approx([oracle(readout, [int(x) for x in row]) for row in weights], rel=1e-9)


@pytest.mark.parametrize("name", find.names("measures"))
def test_a_model_compared_with_itself_has_changed_by_exactly_nothing(name: str) -> None:
    each = find.build("measures", name)
    for kind in each.kinds:
        readout = toy(kind, facts=facts_of(each), examples=getattr(each, "examples", ()))
        rows = list(measure({name: each}, Subject("edit", readout, readout), BOOT, Subject("base", readout)))
        assert rows, f"{name} gave no rows for {kind}"
        for row in rows:
            estimate = row.estimate
            if math.isnan(estimate.low):  # of so few cases, too many resamples lack what the measure compares
                assert estimate.value == 0.0 or (facts_of(each) and math.isnan(estimate.value))
                continue
            assert (estimate.value, estimate.low, estimate.high, estimate.p) == (0.0, 0.0, 0.0, 1.0), row
            assert row.against == "base"
        assert any(row.estimate.value == 0.0 for row in rows)


@pytest.mark.parametrize("name", find.names("measures"))
def test_rows_do_not_depend_on_the_order_of_cases_or_the_chunk(name: str) -> None:
    each = find.build("measures", name)
    for kind in each.kinds:
        readout = toy(kind, facts=facts_of(each), examples=getattr(each, "examples", ()))
        shuffled = permuted(readout, torch.randperm(len(readout), generator=torch.Generator().manual_seed(0)))
        other = Bootstrap(replicates=BOOT.replicates, chunk=13)
        first = list(measure({name: each}, Subject("base", readout), BOOT))
        second = list(measure({name: each}, Subject("base", shuffled), other))
        for a, b in zip(first, second, strict=True):
            assert (a.key, a.groups) == (b.key, b.groups)
            for field in ("value", "low", "high", "p"):
                assert getattr(a.estimate, field) == pytest.approx(getattr(b.estimate, field), abs=1e-9, nan_ok=True)


def test_a_paired_difference_is_much_narrower_than_two_intervals() -> None:
    base = _audit(12, 0.8, 0)
    first = torch.tensor([case.group == "a" for case in base.cases])[base.row]
    edited = dataclasses.replace(base, value=base.value - 0.4 * first)
    paired = _rows(edited, base=base)[0].estimate
    level = _rows(edited)[0].estimate
    assert paired.value == pytest.approx(_rows(edited)[0].estimate.value - _rows(base)[0].estimate.value)
    assert paired.excludes()
    assert paired.high - paired.low < 0.5 * (level.high - level.low)


def test_rows_of_a_scenario_with_variations() -> None:
    readout = _audit(6, 0.5, 0, variations=3)
    rows = _rows(readout)
    signed = [row for row in rows if row.key == "value"]
    assert [row.variation for row in signed] == ["0", "1", "2", ""]
    per = [
        point(SMD["standardised_mean_difference"], readout.where(lambda c, v=v: c.variation == v))["value"]
        for v in "012"
    ]
    assert [row.estimate.value for row in signed] == pytest.approx([*per, sum(per) / 3])
    assert [row.estimate.n for row in signed] == [12, 12, 12, 36]
    assert {row.estimate.n_clusters for row in signed} == {12}
    *apart, absolute = (row for row in rows if row.key == "value.abs")
    assert [row.variation for row in (*apart, absolute)] == ["0", "1", "2", ""]
    assert [row.estimate.value for row in apart] == pytest.approx([abs(x) for x in per])
    assert absolute.estimate.value == pytest.approx(sum(abs(x) for x in per) / 3)
    assert math.isnan(absolute.estimate.p)
    assert {row.groups for row in rows} == {("a", "b")}
    assert {row.estimate.unit for row in rows} == {"SD"}


def test_the_mean_absolute_gap_of_a_fair_model_is_not_declared_a_gap() -> None:
    reached = 0
    for seed in range(40):
        rows = _rows(_audit(16, 0.0, seed, variations=4))
        estimate = next(row.estimate for row in rows if row.key == "value.abs" and not row.variation)
        assert 0 <= estimate.low <= estimate.value <= estimate.high
        reached += estimate.low == 0.0
    assert reached / 40 > 0.5


def test_three_groups_are_compared_with_the_first_and_levels_are_given_for_each() -> None:
    readout = _audit(4, 0.5, 0, groups=("a", "b", "c"))
    assert [row.groups for row in _rows(readout) if row.key == "value"] == [("a", "b"), ("a", "c")]
    levels = measure({"mean": find.build("measures", "mean")}, Subject("base", readout), BOOT)
    assert [row.groups for row in levels if row.key == "value"] == [("a", "b", "c"), ("a",), ("b",), ("c",)]


def test_cases_without_groups_get_one_row() -> None:
    texts = toy("sentence")
    plain = dataclasses.replace(
        texts, groups=(), cases=tuple(dataclasses.replace(case, group="") for case in texts.cases)
    )
    rows = list(measure({"perplexity": find.build("measures", "perplexity")}, Subject("base", plain), BOOT))
    assert [(row.groups, row.variation) for row in rows] == [((), "")]
    assert rows[0].estimate.n == rows[0].estimate.n_clusters == 12


def test_undefined_cases_are_not_counted() -> None:
    readout = _audit(6, 0.5, 0)
    defined = readout.defined.clone()
    defined[:2] = False
    estimate = _rows(dataclasses.replace(readout, defined=defined))[0].estimate
    assert (estimate.n, estimate.n_clusters) == (10, 10)
    nobody = _rows(dataclasses.replace(readout, defined=torch.zeros_like(defined)))[0].estimate
    assert math.isnan(nobody.value)
    assert math.isnan(nobody.low)
    assert math.isnan(nobody.p)
    assert nobody.n == 0


def test_an_undefined_variation_is_left_out_of_the_mean() -> None:
    readout = _audit(6, 0.5, 0, variations=2)
    defined = torch.tensor([case.variation == "0" for case in readout.cases])
    signed = [row for row in _rows(dataclasses.replace(readout, defined=defined)) if row.key == "value"]
    assert math.isnan(signed[1].estimate.value)
    assert signed[2].estimate.value == signed[0].estimate.value
    assert signed[2].estimate.n == 12


def test_one_name_per_group_gives_a_value_without_interval() -> None:
    estimate = _rows(_audit(1, 0.5, 0))[0].estimate
    assert not math.isnan(estimate.value)
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.p)


def test_a_difference_needs_the_same_cases() -> None:
    readout = _audit(4, 0.5, 0)
    with pytest.raises(ValueError, match="same cases"):
        _rows(readout, base=readout.where(lambda case: case.cluster != "a0"))


def test_measures_of_another_kind_are_passed_over() -> None:
    every = {name: find.build("measures", name) for name in find.names("measures")}
    facts = {fact: values for each in every.values() for fact, values in facts_of(each).items()}
    names = {row.measure for row in measure(every, Subject("base", toy("sentence", facts=facts)), BOOT)}
    assert names == {name for name, each in every.items() if "sentence" in each.kinds} != set()
