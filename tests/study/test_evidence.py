"""The rows of a cell: what is set against what, exactly paired, and in agreement with the sweep."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from evenhand import find
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.case import Case
from evenhand.core.estimate import Estimate
from evenhand.core.readout import Readout
from evenhand.core.record import Row
from evenhand.judge.facts import GAP
from evenhand.study.evidence import corrected, rows
from evenhand.study.sweep import Aim, Candidate, sweep
from evenhand.testing.measures import toy
from oracles import paired_by_hand

BOOT = Bootstrap(replicates=150, seed=4)
MEASURES = {name: find.build("measures", name) for name in (GAP, "ratio_of_means", "mean")}


def readout(gap: float, seed: int, variations: tuple[str, ...] = ("x", "y"), groups: tuple[str, ...] = ("a", "b"),
            context: str = "c", own: float = 0.4) -> Readout:  # fmt: skip
    """Three answers a name; names differ by `own`, the same in every model; variations have gaps of both signs."""
    draw, names, each = torch.Generator().manual_seed(seed), 7, 3
    who = torch.Generator().manual_seed(0)
    offset = {f"{g}{i}": own * float(torch.randn((), generator=who)) for g in groups for i in range(names)}
    cases = tuple(
        Case(f"{context}/{v}/{name}", "", context, v, name[0], name) for v in variations for name in offset
    )  # fmt: skip
    sign = [(gap if case.variation == "x" else -gap) * (case.group == groups[0]) for case in cases]
    centre = torch.tensor([offset[case.cluster] + s for case, s in zip(cases, sign, strict=True)]).double()
    value = centre[:, None] + torch.randn(len(cases), each, generator=draw, dtype=torch.float64)
    ones, row = torch.ones(len(cases)).double(), torch.arange(len(cases)).repeat_interleave(each)
    return Readout("number", cases, groups, value.flatten(), ones[row], row, {"valid": ones}, ones.bool(), ddof=1)


BASE, EDIT, RANDOM = readout(1.2, 1), readout(0.3, 2), readout(1.1, 3)
SUBJECTS = {"base": [BASE], "edit": [EDIT], "random": [RANDOM]}


def one(table: list[Row], **wanted: str) -> Estimate:
    (found,) = (row for row in table if all(getattr(row, field) == value for field, value in wanted.items()))
    return found.estimate


def test_the_edit_is_set_against_the_random_edit_as_a_slow_paired_loop_does_it() -> None:
    table = list(rows(MEASURES, SUBJECTS, BOOT))
    got = one(table, measure=GAP, key="value.abs", variation="", subject="edit", against="random")
    assert (got.value, got.low, got.high) == pytest.approx(paired_by_hand.difference(EDIT, RANDOM, BOOT), abs=1e-12)
    change = one(table, measure=GAP, key="value.abs", variation="", subject="edit", against="base")
    assert (change.value, change.low, change.high) == pytest.approx(
        paired_by_hand.difference(EDIT, BASE, BOOT), abs=1e-12
    )
    single = one(table, measure=GAP, key="value.abs", variation="y", subject="edit", against="random")
    y = [each.where(lambda case: case.variation == "y") for each in (EDIT, RANDOM)]
    assert (single.value, single.low, single.high) == pytest.approx(
        paired_by_hand.difference(y[0], y[1], BOOT), abs=1e-12
    )


def test_pairing_is_sharper_than_two_intervals_put_together() -> None:
    """The names of both are the same, so what they have in common drops out."""
    subjects = {"base": [readout(1.2, 1, own=2.0)], "edit": [readout(0.9, 1, own=2.0)],
                "random": [readout(1.1, 1, own=2.0)]}  # fmt: skip
    table = list(rows(MEASURES, subjects, BOOT))
    paired = one(table, measure=GAP, key="value", variation="x", subject="edit", against="random")
    apart = [one(table, measure=GAP, key="value", variation="x", subject=s, against="") for s in ("edit", "random")]
    together = math.hypot(apart[0].high - apart[0].value, apart[1].value - apart[1].low)
    assert paired.high - paired.value < 0.5 * together


def test_only_the_gap_and_perplexity_are_set_against_the_random_edit() -> None:
    text = toy("sentence")
    worse = dataclasses.replace(text, arrays=text.arrays | {"logp": text.arrays["logp"] * 1.5})
    subjects = {"base": [BASE, text], "edit": [EDIT, worse], "random": [RANDOM, text]}
    both = MEASURES | {"perplexity": find.build("measures", "perplexity")}
    table = list(rows(both, subjects, BOOT))
    beyond = [row for row in table if row.against == "random"]
    assert {(row.measure, row.subject) for row in beyond} == {(GAP, "edit"), ("perplexity", "edit")}
    cost = next(row.estimate for row in beyond if row.measure == "perplexity")
    change = next(
        row.estimate for row in table if (row.measure, row.subject, row.against) == ("perplexity", "edit", "base")
    )
    assert (cost.value, cost.low, cost.high) == (change.value, change.low, change.high)
    assert not [row for row in rows(both, {"base": [BASE], "edit": [EDIT]}, BOOT) if row.against == "random"]


def test_each_question_is_a_table_of_its_own() -> None:
    table = corrected(list(rows(MEASURES, SUBJECTS, BOOT)))
    assert all(math.isnan(row.estimate.q) for row in table if not row.against)
    places = ("measure", "key", "subject", "against")
    alone = [row for row in table if row.against and not row.variation and row.measure == GAP]
    assert len({tuple(getattr(row, field) for field in places) for row in alone}) == len(alone) == 12
    assert all(row.estimate.q == row.estimate.p for row in alone), "a table of one needs no correction"


def candidate(readouts: list[Readout], random: list[Readout] | None = None) -> Candidate:
    return Candidate(1, 0.1, readouts, random, [])


def test_the_sweep_and_the_rows_say_the_same_of_the_same_answers() -> None:
    base, edited = sweep(candidate([BASE]), [candidate([EDIT], [RANDOM])], Aim(BOOT, {}))
    table = list(rows(MEASURES, SUBJECTS, BOOT))
    for subject, point in (("base", base.gap), ("edit", edited.gap), ("random", edited.random_gap)):
        row = one(table, measure=GAP, key="value.abs", variation="", subject=subject, against="")
        assert point == row


def test_the_sweep_is_the_mean_of_the_rows_over_contexts_and_groups() -> None:
    both = [readout(0.8, 5, groups=("a", "b", "d")), readout(0.5, 6, groups=("a", "b", "d"), context="e")]
    base, _ = sweep(candidate(both), [candidate(both)], Aim(BOOT, {}))
    table = [row for row in rows(MEASURES, {"base": both}, BOOT) if row.measure == GAP and row.key == "value.abs"]
    means = [row.estimate for row in table if not row.variation]
    assert len(means) == 4
    assert base.gap.value == pytest.approx(sum(each.value for each in means) / 4)
    assert (base.gap.n, base.gap.n_clusters) == (84, 21)
    assert base.gap.high - base.gap.low < max(each.high - each.low for each in means)
