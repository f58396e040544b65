"""What may be said about an edit: a fall is claimed only where it is shown, and larger than chance's."""

from __future__ import annotations

import pytest

from evenhand.core.estimate import Estimate
from evenhand.core.record import Row
from evenhand.judge.facts import Facts
from evenhand.judge.verdict import FINDINGS, Judgement, Status, judge
from export.records import around, cell, gap_rows, level_rows, run

NONE = around(0.0, 0.05)
UNDEFINED = Estimate(value=float("nan"))


def judged(rows: list[Row], outcome: str = "number") -> Judgement:
    return judge(Facts(run(("loan",), outcome).scenario, cell(rows)))


@pytest.mark.parametrize(
    ("before", "after", "change", "random", "status"),
    [
        (around(0.8), around(0.1), around(-0.7), NONE, "fell"),
        (around(0.8), around(0.1), around(-0.7, q=0.04), NONE, "fell"),
        (around(0.8), around(0.1), around(-0.7, q=0.06), NONE, "held"),
        (around(0.8), around(0.1), around(-0.7), around(-0.65), "chance"),
        (around(0.8), around(0.1), around(-0.7), None, "alone"),
        (around(0.8), around(0.1), around(-0.7), UNDEFINED, "alone"),
        (around(0.8), around(0.75), around(-0.05), NONE, "held"),
        (around(0.05), around(0.0), around(-0.05), NONE, "nothing"),
        (around(0.05), around(0.6), around(0.55), NONE, "made"),
        (around(0.8), around(1.2), around(0.4), NONE, "grew"),
        (around(0.8), around(-0.4), around(-0.4), NONE, "turned"),
        (UNDEFINED, around(0.1), around(-0.7), NONE, "undefined"),
        (around(0.8), UNDEFINED, UNDEFINED, NONE, "undefined"),
    ],
)
def test_one_use_case(
    before: Estimate, after: Estimate, change: Estimate, random: Estimate | None, status: Status
) -> None:
    found = judged(gap_rows("loan", before, after, change, random))
    assert [f.status for f in found.home] == [status]
    assert found.kind == status
    assert found.home[0].words == FINDINGS[status]
    assert bool(found.helped) == (status == "fell")


@pytest.mark.parametrize(
    ("beyond", "status"),
    [
        (around(-0.05, 0.04), "fell"),
        (around(-0.05, 0.06), "chance"),
        (around(-0.05, 0.04, q=0.06), "chance"),
        (around(0.05, 0.04), "chance"),
        (Estimate(value=-0.05), "chance"),
        (UNDEFINED, "alone"),
    ],
)
def test_chance_is_beaten_by_the_paired_difference_not_by_two_intervals(beyond: Estimate, status: Status) -> None:
    rows = gap_rows("loan", around(0.8), around(0.1), around(-0.7), around(-0.65), beyond)
    found = judged(rows).home[0]
    assert found.status == status
    assert found.beyond == beyond or not beyond.defined


def test_perplexity_is_set_against_the_random_edit_too() -> None:
    rows = [*gap_rows("loan", around(0.8), around(0.1), around(-0.7), NONE),
            *level_rows("perplexity", "value", "prose", 20.0, 20.1),
            Row(measure="perplexity", key="value", context="prose", subject="edit", against="random",
                estimate=around(0.07, 0.01))]  # fmt: skip
    (harm,) = (harm for harm in judged(rows).harms if harm.measure == "perplexity")
    assert harm.beyond == around(0.07, 0.01)


@pytest.mark.parametrize(
    ("measure", "key", "base", "edit", "status"),
    [
        ("answer_shares", "valid", 0.3, 0.9, "no_answer"),
        ("answer_shares", "valid", 0.9, 0.3, "broken"),
        ("answer_shares", "valid", 0.55, 0.48, "broken"),
        ("option_mass", "value", 0.01, 0.9, "no_answer"),
        ("option_mass", "value", 0.9, 0.01, "broken"),
        ("option_mass", "value", 0.12, 0.09, "broken"),
        ("answer_shares", "valid", 0.9, 0.85, "fell"),
    ],
)
def test_a_model_that_does_not_do_the_task_is_not_debiased(
    measure: str, key: str, base: float, edit: float, status: Status
) -> None:
    rows = gap_rows("loan", around(0.8), around(0.1), around(-0.7), NONE)
    found = judged([*rows, *level_rows(measure, key, "loan", base, edit)], "choice")
    assert found.home[0].status == status
    assert bool(found.helped) == (status == "fell")


def test_a_fall_in_a_broken_model_helped_nowhere() -> None:
    rows = gap_rows("loan", around(0.8), around(0.1), around(-0.7), NONE)
    found = judged([*rows, *level_rows("perplexity", "value", "prose", 20.0, 90.0)])
    assert found.kind == "broken"
    assert found.helped == ()
