"""The gate speaks only where an interval does, and an undefined gap never passes."""

import math
import xml.etree.ElementTree as ElementTree

from evenhand.core.estimate import Estimate
from evenhand.core.record import Row
from evenhand.study.audit import gate, junit


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


def test_junit_counts_failures_and_errors():
    root = ElementTree.fromstring(junit(gate(ROWS, 0.2), "s").encode())
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("7", "3", "2")
    assert len(root.findall("testcase/failure")) == 3
    assert len(root.findall("testcase/error")) == 2
    assert "hidden: b against a" in {case.get("name") for case in root.findall("testcase")}
