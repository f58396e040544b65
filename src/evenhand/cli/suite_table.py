"""The table of benchmarks, in text and as JSON, and below it what speaks against reading a number as bias."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evenhand.core.record import BenchmarkRecord
    from evenhand.judge.benchmarks import Line
    from evenhand.study.benchmark import Ended
    from evenhand.study.gate import Finding


def as_json(ended: Sequence[Ended], findings: Sequence[Finding]) -> dict[str, Any]:
    """Return every record, what was not measured and why, and every number that has a limit."""
    from evenhand.core.record import BenchmarkRecord

    return {
        "benchmarks": [
            each.model_dump(mode="json") if isinstance(each, BenchmarkRecord)
            else {"scenario": each.scenario, "error": str(each.error), "refused": each.refused}
            for each in ended
        ],
        "findings": [asdict(finding) for finding in findings],
    }  # fmt: skip


def text_of(title: str, ended: Sequence[Ended], findings: Sequence[Finding], by_context: bool) -> str:
    """Return the table; columns that nothing stands in are left out."""
    from evenhand.cli.screen import lines_of
    from evenhand.core.record import BenchmarkRecord
    from evenhand.judge.benchmarks import COLUMNS, cells, shown, used

    body: list[tuple[str, ...]] = []
    for each in ended:
        if isinstance(each, BenchmarkRecord):
            body += [(each.spec.scenario, line.row.context, _name(line), *cells(each, line, str))
                     for line in shown(each, by_context)]  # fmt: skip
        else:
            body.append((each.scenario, "", "", each.why, *[""] * (len(COLUMNS) - 1)))
    head, rows = used(("benchmark", "context", "measure", *COLUMNS), body)
    table = lines_of(title, [*head], [[*row] for row in rows])
    judged = [f"{each.outcome.upper():9} {each.context}{_groups(each.groups)}: {each.text}" for each in findings]
    return "\n".join([table, *_doubts(ended), *judged])


def _name(line: Line) -> str:
    groups = line.row.groups
    return f"{line.name}{_groups(groups) if len(groups) in (1, 2) else ''}"  # otherwise of all groups together


def _groups(groups: tuple[str, ...]) -> str:
    return f" ({' / '.join(groups)})" if groups else ""


def _doubts(ended: Sequence[Ended]) -> list[str]:
    """Return what speaks against reading these numbers as bias, or as the lack of it."""
    from evenhand.judge.benchmarks import broken, idle, unlearnt

    return [
        *_told("The model does not do these tasks, so what is measured there says nothing of its bias:", ended, idle),
        *_told("The edited model no longer does these tasks: it is broken there, not unbiased:", ended, broken),
        *_told("Not shown to be more than random weights show, so it may come from the tokens alone:", ended, unlearnt),
    ]  # fmt: skip


def _told(head: str, ended: Sequence[Ended], reasons: Callable[[BenchmarkRecord], list[str]]) -> list[str]:
    from evenhand.core.record import BenchmarkRecord

    lines = [f"  {each.spec.scenario}: {'; '.join(found)}" for each in ended
             if isinstance(each, BenchmarkRecord) and (found := reasons(each))]  # fmt: skip
    return [head, *lines] if lines else []
