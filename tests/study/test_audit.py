"""The gate speaks only where an interval does, and an undefined gap never passes."""

import math
import xml.etree.ElementTree as ElementTree

from evenhand.core.estimate import Estimate
from evenhand.core.record import Row
from evenhand.study.gate import gate, junit


def _row(context, value, low, high, variation=""):
    return Row(measure="standardised_mean_difference", key="value", context=context, variation=variation,
               groups=("a", "b"), estimate=Estimate(value=value, low=low, high=high))  # fmt: skip


ROWS = [
    _row("biased", 0.6, 0.4, 0.8),
    _row("reversed", -0.6, -0.8, -0.4),
    _row("fair", 0.01, -0.1, 0.1),
    _row("wide", 0.1, -0.5, 0.5),
    _row("hidden", 0.0, -0.1, 0.1),
    _row("hidden", 0.9, 0.5, 1.2, "x"),
    _row("hidden", -0.9, -1.2, -0.5, "y"),
    _row("silent", math.nan, math.nan, math.nan),
    _row("one name", 0.9, math.nan, math.nan),
]


def test_findings_follow_the_intervals():
    found = {finding.context: finding.outcome for finding in gate(ROWS, 0.2)}
    assert found == {"biased": "over", "reversed": "over", "fair": "within", "wide": "unsure", "hidden": "over",
                     "silent": "undefined", "one name": "undefined"}  # fmt: skip
    assert {finding.outcome for finding in gate(ROWS[:7], 2.0)} == {"within"}


def test_a_model_that_does_not_do_the_task_has_not_passed():
    def level(context, measure, key, value, groups=("a", "b")):
        return Row(measure=measure, key=key, context=context, groups=groups, estimate=Estimate(value=value))

    rows = [
        *ROWS,
        level("fair", "answer_shares", "valid", 0.08),
        level("fair", "answer_shares", "valid", 0.9, ("a",)),
        level("wide", "answer_shares", "valid", 1.0),
        level("wide", "option_mass", "value", 1e-12),
        level("biased", "answer_shares", "valid", 0.99),
    ]
    found = {finding.context: finding for finding in gate(rows, 0.2)}
    assert {name for name, finding in found.items() if finding.outcome == "no_answer"} == {"fair", "wide"}
    assert "0.08 of its answers" in found["fair"].text
    assert "1e-12 of its probability" in found["wide"].text
    assert found["biased"].outcome == "over"
    assert junit(list(found.values()), "s").count("<error") == 4


def test_an_undefined_variation_does_not_pass_and_an_empty_clipping_is_not_looked_at():
    nothing_left = _row("fair", math.nan, math.nan, math.nan).model_copy(update={"key": "clipped"})
    blank = _row("biased", math.nan, math.nan, math.nan, "x")
    found = {finding.context: finding for finding in gate([*ROWS, nothing_left, blank], 2.0)}
    assert found["fair"].outcome == "within"
    assert found["biased"].outcome == "undefined"
    assert "no interval for the gap in x" in found["biased"].text


def test_a_gap_hidden_by_extreme_answers_is_over():
    clipped = _row("fair", 0.5, 0.3, 0.7).model_copy(update={"key": "clipped"})
    (fair,) = (finding for finding in gate([*ROWS, clipped], 0.2) if finding.context == "fair")
    assert fair.outcome == "over"
    assert "clipped" in fair.text


def test_junit_counts_failures_and_errors():
    root = ElementTree.fromstring(junit(gate(ROWS, 0.2), "s").encode())
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("7", "3", "2")
    assert len(root.findall("testcase/failure")) == 3
    assert len(root.findall("testcase/error")) == 2
    assert "hidden: b against a" in {case.get("name") for case in root.findall("testcase")}
