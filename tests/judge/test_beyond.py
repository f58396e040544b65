"""What is said of edits beside controls: only what was found, where it was found, at which cost."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from evenhand.core.compared import Compared
from evenhand.core.record import RunRecord
from evenhand.judge.beyond import goal_of, in_words, outcomes, sentence, unproven
from report import made_beyond
from report.made_run import build

FELL, NOT = (-0.5, 0.01), (-0.5, 0.2)
ROSE = (0.5, 0.01)


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    """A run whose goal is a low mean."""
    run = RunRecord.model_validate_json((build(tmp_path / "run", skip=99) / "run.json").read_text())
    return run.model_copy(
        update={"config": run.config | {"goal": {"measure": "mean", "key": "value", "better": "low"}}}
    )


def _said(record: RunRecord, *edits: Compared) -> str:
    (outcome,) = outcomes(record, edits)
    return sentence(outcome)


def test_nothing_found_is_said_to_be_nothing(record: RunRecord) -> None:
    said = _said(record, *made_beyond.edits())
    assert "3 edits, 2 seeds, each set against random tokens and noise of equal damage" in said
    assert (
        "the mean was lowered in 0 of 3 places where an edit was fitted and in 0 of 6 places where it was not" in said
    )
    assert "nothing is shown to have transferred" in said


def test_what_is_found_at_home_and_away_is_counted(record: RunRecord) -> None:
    said = _said(record, *made_beyond.edits({"one": {"one": FELL, "two": FELL, "three": NOT}}))
    assert "in 1 of 3 places where an edit was fitted and in 1 of 6 places where it was not" in said
    assert "So something transferred beyond the controls." in said


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"one": {"two": FELL}}, "no transfer of what they were fitted to"),
        ({"one": {"one": FELL, "two": FELL, "three": ROSE}}, "as many places or more, so transfer is not shown"),
        ({"one": {"one": FELL, "two": ROSE}}, "nothing is shown to have transferred"),
    ],
)
def test_transfer_is_not_claimed_on_weak_grounds(
    record: RunRecord, found: dict[str, dict[str, tuple[float, float]]], told: str
) -> None:
    said = _said(record, *made_beyond.edits(found))
    assert told in said
    assert "So something transferred" not in said


def test_what_got_worse_is_said(record: RunRecord) -> None:
    assert "It got worse beyond all of them in 2." in _said(
        record, *made_beyond.edits({"one": {"two": ROSE, "three": ROSE}})
    )


def test_where_high_is_better_raised_is_the_word(record: RunRecord) -> None:
    goal = {"measure": "mean", "key": "value", "better": "high"}
    higher = record.model_copy(update={"config": record.config | {"goal": goal}})
    said = _said(higher, *made_beyond.edits({"one": {"one": ROSE}}))
    assert "raised in 1 of 3 places" in said
    assert "worse" not in said


def test_one_seed_is_told_and_so_are_several_numbers_of_seeds(record: RunRecord) -> None:
    alone = made_beyond.edits({"one": {"one": FELL, "two": FELL}}, seeds=(0,))
    assert "one seed, so how much it varies is not known" in _said(record, *alone)
    assert "In this one seed something transferred" in _said(record, *alone)
    mixed = [made_beyond.edit("one", {}), made_beyond.edit("two", {}, seeds=(0,))]
    assert "1 to 2 seeds" in _said(record, *mixed)


def test_what_both_cost_is_told_and_where_it_surely_differs(record: RunRecord) -> None:
    fair = _said(record, *made_beyond.edits(costs=(1.0, 1.1)))
    assert "+1.00 under the edits, +1.10 under random tokens and +1.10 under noise of equal damage." in fair
    assert "for 3 of 3 edits a control surely costs another amount, so damage is not equal." in _said(
        record, *made_beyond.edits(costs=(1.0, 2.0))
    )
    assert "not equal" not in _said(record, *made_beyond.edits(costs=(-0.003, 0.003)))
    assert "Perplexity" not in _said(record, *made_beyond.edits(costs=(math.nan, math.nan)))


def test_one_control_is_it(record: RunRecord) -> None:
    found = made_beyond.edit("one", {}, controls={"random tokens": ("c", "d")})
    assert "set against random tokens. Beyond it, the mean" in _said(record, found)


def test_a_control_that_changed_nothing_is_told(record: RunRecord) -> None:
    said = _said(record, *made_beyond.edits(idle={"random tokens": 1}))
    assert "random tokens left the model as it was in 3 of 6 fits" in said
    assert "left the model as it was" not in _said(record, *made_beyond.edits())


def test_what_cannot_be_tested_is_counted_apart(record: RunRecord) -> None:
    said = _said(record, *made_beyond.edits({"one": {"one": (-0.5, math.nan)}}))
    assert "in 0 of 2 places where an edit was fitted" in said
    assert "In 1 more too little is known to tell." in said
    assert "other texts and benchmarks" not in said  # the only number there has no p


def test_entries_of_one_method_and_models_are_told_apart(record: RunRecord) -> None:
    one, other = made_beyond.edit("one", {}), made_beyond.edit("one", {}, place=1, settings={"steps": 9})
    elsewhere = made_beyond.edit("one", {}, model={**made_beyond.MODEL, "dtype": "bfloat16"})
    found = outcomes(record, [one, other, elsewhere])
    names = ["unlearning (steps = 5)", "unlearning (steps = 9)", "unlearning (steps = 5)"]
    assert [each.name for each in found] == names
    assert [each.model["dtype"] for each in found] == ["float32", "float32", "bfloat16"]


def test_cells_without_anything_beyond_their_controls_are_named(record: RunRecord) -> None:
    found = made_beyond.edits({"one": {"one": FELL}, "two": {"two": ROSE}, "three": {"one": FELL}})
    named = [each.model_copy(update={"cells": (group,)}) for each, group in zip(found, made_beyond.GROUPS, strict=True)]
    assert unproven(record, named) == {"two", "three"}
    assert unproven(record, []) == set()


def test_without_a_goal_it_is_the_size_of_the_gap(record: RunRecord) -> None:
    bare = record.model_copy(update={"config": {k: v for k, v in record.config.items() if k != "goal"}})
    assert goal_of(bare).name == "size of the standardised mean difference"


@pytest.mark.parametrize(
    ("measure", "key", "told"),
    [("mean", "value", "mean"), ("hate_gap", "value.hateful", "hate gap, hateful"), ("x", "ties", "x, ties")],
)
def test_measures_are_told_in_words(measure: str, key: str, told: str) -> None:
    assert in_words(measure, key) == told
