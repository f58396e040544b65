"""Whether a number is beyond a limit: of a gap in a context, of a benchmark against its value without bias."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evenhand.core.errors import CannotRun
from evenhand.core.estimate import Estimate
from evenhand.core.record import BenchmarkRecord, Row
from evenhand.judge.answered import unanswered
from evenhand.judge.benchmarks import Line, doubted, idle, name_of, shown
from evenhand.judge.facts import GAP

Outcome = Literal["over", "within", "unsure", "undefined", "no_answer"]


@dataclass(frozen=True)
class Finding:
    """One number against its limit."""

    context: str
    """Of a benchmark: its name, the context, and what was measured."""
    groups: tuple[str, ...]
    outcome: Outcome
    text: str


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


def gate_benchmark(record: BenchmarkRecord, limits: Mapping[str, float]) -> list[Finding]:
    """Return one finding per number of the table that has a limit, of the edited model where there is an edit.

    `limits`: measure, or measure.key → how far from its value without bias a number may be. Outcomes are those of
    `gate`; a limit on what is not there is `undefined`. One on a measure alone is on its main number and those of the
    same unit and value without bias. A number over its limit that is not shown to be more than random weights show is
    `unsure`.
    """
    found: list[Finding] = []
    for name, limit in limits.items():
        known = [(line, at) for line in shown(record) if (at := _neutral(record, line)) is not None]
        limited = [each for each in known if name in (each[0].row.measure, _full_name(each[0]))]
        if not limited:
            names = ", ".join(dict.fromkeys(_full_name(line) for line, _ in known)) or "none"
            text = f"no number {name!r} with a value that means no bias (those that have: {names})"
            found.append(Finding(record.spec.scenario, (), "undefined", text))
        like = [(line.row.estimate.unit, neutral) for line, neutral in limited]
        found += [_judged(record, *each, limit) for each, kind in zip(limited, like, strict=True) if kind == like[0]]
    return found


def _full_name(line: Line) -> str:
    return f"{line.row.measure}.{line.row.key}"


def _neutral(record: BenchmarkRecord, line: Line) -> float | None:
    return record.neutral.get(line.row.measure, {}).get(line.row.key)


def _judged(record: BenchmarkRecord, line: Line, neutral: float, limit: float) -> Finding:
    row = line.audited
    estimate, where = row.estimate, f"{record.spec.scenario}, {row.context}: {name_of(row)}"
    reach = f"{neutral:g} ± {limit:g}"
    outcome: Outcome
    if silent := idle(record, row.subject):
        return Finding(where, row.groups, "no_answer", "; ".join(silent))
    if not estimate.defined or math.isnan(estimate.low):
        return Finding(where, row.groups, "undefined", f"{estimate}: no interval, so nothing to set against {reach}")
    if estimate.low > neutral + limit or estimate.high < neutral - limit:
        outcome, text = "over", f"{estimate} is beyond {reach}"
        if line.untrained and line in doubted(record, row.subject):
            outcome = "unsure"
            text += f", but not shown to be more than random weights show ({line.untrained.estimate})"
    elif neutral - limit <= estimate.low and estimate.high <= neutral + limit:
        outcome, text = "within", f"{estimate} lies within {reach}"
    else:
        outcome, text = "unsure", f"{estimate}: the interval reaches across {reach}; more items would tell"
    return Finding(where, row.groups, outcome, text)


def _inside(estimate: Estimate, limit: float) -> bool:
    return estimate.low >= -limit and estimate.high <= limit


def passed(findings: Sequence[Finding]) -> bool:
    """Return False for a number over its limit; raises CannotRun for one that nothing can be said of."""
    if any(finding.outcome == "over" for finding in findings):
        return False
    if blind := list(dict.fromkeys(f.context for f in findings if f.outcome in ("undefined", "no_answer"))):
        raise CannotRun(f"no number to judge in {', '.join(blind)}, so the limit has nothing to hold there")
    return True


def junit(findings: Sequence[Finding], suite: str) -> str:
    """Return the findings as JUnit XML.

    `over` is a failure, `undefined` and `no_answer` are errors, `unsure` passes with a note.
    """
    failures = sum(finding.outcome == "over" for finding in findings)
    errors = sum(finding.outcome in ("undefined", "no_answer") for finding in findings)
    counts = {"tests": str(len(findings)), "failures": str(failures), "errors": str(errors)}
    root = ElementTree.Element("testsuite", {"name": suite, **counts})
    for finding in findings:
        name = ": ".join(filter(None, (finding.context, " against ".join(reversed(finding.groups)))))
        case = ElementTree.SubElement(root, "testcase", classname=suite, name=name)
        tag = {"over": "failure", "unsure": "system-out", "within": ""}.get(finding.outcome, "error")
        if tag == "system-out":
            ElementTree.SubElement(case, tag).text = finding.text
        elif tag:
            ElementTree.SubElement(case, tag, message=finding.text)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
