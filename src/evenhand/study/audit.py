"""Measure one model as it is: every context of a scenario, and whether a gap is above a limit."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from evenhand import find
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.errors import UsageError
from evenhand.core.estimate import Estimate
from evenhand.core.measure import Subject, measure
from evenhand.core.progress import Progress, silent
from evenhand.core.record import Row
from evenhand.core.scenario import Scenario
from evenhand.judge.facts import GAP
from evenhand.judge.verdict import Limits
from evenhand.lm.model import LM
from evenhand.lm.read import Reading, read
from evenhand.study.config import StudyConfig

MEASURES: tuple[str, ...] = StudyConfig.model_fields["measures"].default

Outcome = Literal["over", "within", "unsure", "undefined", "no_answer"]


@dataclass(frozen=True)
class Finding:
    """One comparison in one context against the limit."""

    context: str
    groups: tuple[str, ...]
    outcome: Outcome
    text: str


def audit(
    lm: LM, scenario: Scenario, reading: Reading, bootstrap: Bootstrap, progress: Progress = silent,
    measures: Sequence[str] = MEASURES,
) -> list[Row]:  # fmt: skip
    """Return the measures of the model on a scenario, all names together."""
    built = {name: find.build("measures", name) for name in measures}
    readouts = read(lm, scenario, reading, progress)
    return [row for readout in readouts for row in measure(built, Subject("base", readout), bootstrap)]


def check_compares(scenario: Scenario) -> None:
    """Raise UsageError for a scenario without a gap: no groups, or nothing but running text."""
    outcomes = {context.outcome for context in scenario.contexts}
    if len(scenario.groups) < 2 or outcomes == {"sentence"}:
        alone = (*scenario.measures, "perplexity" if outcomes == {"sentence"} else "accuracy")[0]
        raise UsageError(
            f"scenario {scenario.name!r} compares no groups, so it has no gap to audit: ask for what it measures by "
            f"itself (--measure {alone}), give it to `evenhand run` as utility, or audit a scenario with groups, such "
            "as name_audit"
        )


def gate(rows: Sequence[Row], limit: float) -> list[Finding]:
    """Return one finding per context and comparison.

    The signed standardised gap of the context and of each of its variations is looked at, with and without the most
    extreme answers. `over`: some interval lies wholly beyond ±limit. `within`: all lie wholly inside. `unsure`:
    neither. `undefined`: one of them has no interval (a gap that clipping leaves nothing of is not looked at).
    `no_answer`: the model does not do the task, so whatever its few answers look like says nothing. The last two have
    not passed.
    """
    signed = [row for row in rows if row.measure == GAP and row.key in ("value", "clipped") and not row.against]
    found: list[Finding] = []
    for context, groups in dict.fromkeys((row.context, row.groups) for row in signed):
        mine = [row for row in signed if (row.context, row.groups) == (context, groups)]
        silent = unanswered(rows, context)
        found.append(
            Finding(context, groups, "no_answer", silent) if silent else _finding(context, groups, mine, limit)
        )
    return found


def unanswered(rows: Sequence[Row], context: str, limits: Limits = Limits()) -> str:
    """Return why no statement about bias can be made of a context; empty where the model does the task."""
    asked = (
        ("answer_shares", "valid", limits.valid, "of its answers are valid"),
        ("option_mass", "value", limits.option_mass, "of its probability is on the options"),
    )
    for name, key, least, what in asked:
        levels = [r for r in rows if (r.measure, r.key, r.context, r.variation) == (name, key, context, "")]
        if levels and (share := max(levels, key=lambda row: len(row.groups)).estimate.value) < least:
            return f"the model does not do the task: {share:.2g} {what}, at least {least:g} must be"
    return ""


def _finding(context: str, groups: tuple[str, ...], rows: Sequence[Row], limit: float) -> Finding:
    whole = next(row.estimate for row in rows if not row.variation and row.key == "value")
    over = [row for row in rows if row.estimate.low > limit or row.estimate.high < -limit]
    outcome: Outcome
    known = [row for row in rows if not (row.key == "clipped" and math.isnan(row.estimate.value))]
    blank = [row for row in known if math.isnan(row.estimate.low)]
    if over:
        outcome, shown = "over", next((row for row in over if not row.variation), over[0])
        clipped = ", the most extreme answers clipped," if shown.key == "clipped" else ""
        text = f"gap {shown.estimate} in {shown.variation or 'the mean over variations'}{clipped} is beyond ±{limit:g}"
    elif blank:
        where = f" in {blank[0].variation}" if blank[0].variation else ""
        outcome, text = "undefined", f"no interval for the gap{where}: too few valid answers or names"
    elif all(_inside(row.estimate, limit) for row in known):
        outcome, text = "within", f"gap {whole} lies within ±{limit:g}"
    else:
        outcome, text = "unsure", f"gap {whole}: an interval reaches across ±{limit:g}; more names would tell"
    return Finding(context, groups, outcome, text)


def _inside(estimate: Estimate, limit: float) -> bool:
    return estimate.low >= -limit and estimate.high <= limit


def junit(findings: Sequence[Finding], suite: str) -> str:
    """Return the findings as JUnit XML.

    `over` is a failure, `undefined` and `no_answer` are errors, `unsure` passes with a note.
    """
    failures = sum(finding.outcome == "over" for finding in findings)
    errors = sum(finding.outcome in ("undefined", "no_answer") for finding in findings)
    counts = {"tests": str(len(findings)), "failures": str(failures), "errors": str(errors)}
    root = ElementTree.Element("testsuite", {"name": suite, **counts})
    for finding in findings:
        name = f"{finding.context}: {' against '.join(reversed(finding.groups))}"
        case = ElementTree.SubElement(root, "testcase", classname=suite, name=name)
        tag = {"over": "failure", "unsure": "system-out", "within": ""}.get(finding.outcome, "error")
        if tag == "system-out":
            ElementTree.SubElement(case, tag).text = finding.text
        elif tag:
            ElementTree.SubElement(case, tag, message=finding.text)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def by_context(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Yield the rows of each context."""
    for context in dict.fromkeys(row.context for row in rows):
        yield context, [row for row in rows if row.context == context]
