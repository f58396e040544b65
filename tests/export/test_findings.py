"""What may be said about an edit: a fall is claimed only where it is shown, and larger than chance's."""

from __future__ import annotations

import pytest

from evenhand.core.estimate import Estimate
from evenhand.export.findings import costs, findings
from export.records import around, cell, gap_rows, level_rows

NONE = around(0.0, 0.05)


@pytest.mark.parametrize(
    ("before", "after", "change", "random", "words"),
    [
        (around(0.8), around(0.1), around(-0.7), NONE, "fell"),
        (around(0.8), around(0.1), around(-0.7, q=0.04), NONE, "fell"),
        (around(0.8), around(0.1), around(-0.7, q=0.06), NONE, "no fall shown"),
        (around(0.8), around(0.1), around(-0.7), around(-0.65), "fell no more than with a random edit"),
        (around(0.8), around(0.1), around(-0.7), None, "fell no more than with a random edit"),
        (around(0.8), around(0.75), around(-0.05), NONE, "no fall shown"),
        (around(0.05), around(0.0), around(-0.05), NONE, "no gap shown before the edit"),
        (around(0.05), around(0.6), around(0.55), NONE, "grew"),
        (around(0.8), around(1.2), around(0.4), NONE, "grew"),
        (around(0.8), around(-0.4), around(-0.4), NONE, "went too far: the gap changed sign"),
        (Estimate(value=float("nan")), around(0.1), around(-0.7), NONE, "undefined"),
        (around(0.8), Estimate(value=float("nan")), Estimate(value=float("nan")), NONE, "undefined"),
    ],
)
def test_one_use_case(before: Estimate, after: Estimate, change: Estimate, random: Estimate | None, words: str) -> None:
    (found,) = findings(cell(gap_rows("loan", before, after, change, random)))
    assert found.words == words
    assert found.helped == (words == "fell")
    assert found.fitted == "yes"


@pytest.mark.parametrize(
    ("measure", "key", "base", "edit", "words"),
    [
        ("answer_shares", "valid", 0.3, 0.9, "the unedited model does not do this task"),
        ("answer_shares", "valid", 0.9, 0.3, "the edited model stopped doing this task"),
        ("option_mass", "value", 0.01, 0.9, "the unedited model does not do this task"),
        ("option_mass", "value", 0.9, 0.01, "the edited model stopped doing this task"),
        ("answer_shares", "valid", 0.9, 0.8, "fell"),
    ],
)
def test_a_model_that_does_not_do_the_task_is_not_debiased(
    measure: str, key: str, base: float, edit: float, words: str
) -> None:
    rows = gap_rows("loan", around(0.8), around(0.1), around(-0.7), NONE)
    (found,) = findings(cell([*rows, *level_rows(measure, key, "loan", base, edit)]))
    assert found.words == words


def test_fitted_use_cases_come_first_and_variations_are_named() -> None:
    rows = [
        *gap_rows("sport", around(0.1), around(0.1), NONE),
        *gap_rows("loan", around(0.8), around(0.1), around(-0.7)),
    ]
    assert [(f.context, f.fitted) for f in findings(cell(rows, ("car", "house")))] == [
        ("loan", "only car, house"),
        ("sport", "no"),
    ]


def test_costs_are_those_of_everyone_and_only_what_was_measured() -> None:
    rows = [
        *level_rows("answer_shares", "valid", "loan", 0.95, 0.9),
        *level_rows("perplexity", "value", "prose", 20.0, 21.0),
    ]
    found = list(costs(cell(rows)))
    assert [(c.context, c.what, c.before.value, c.after.value) for c in found] == [
        ("loan", "share of valid answers", 0.95, 0.9),
        ("prose", "perplexity", 20.0, 21.0),
    ]
    assert not found[0].random.defined
