"""The tables of an audit: every number, one benchmark by context, and where all of it comes from."""

from __future__ import annotations

from collections.abc import Sequence

from evenhand.core.estimate import Estimate
from evenhand.core.record import BenchmarkRecord, Row
from evenhand.judge.benchmarks import Line, shown
from evenhand.report.benchmarks_numbers import amount, mark, several, title
from evenhand.report.load import Audit
from evenhand.report.naming import plain
from evenhand.report.tables import EMPTY, Table

HEAD = ("value", "edited", "change", "no bias", "guessing", "random weights", "without flawed items",
        "items / clusters")  # fmt: skip


def everything(audit: Audit) -> Table:
    """Return every headline number of every benchmark."""
    rows: list[tuple[str, ...]] = []
    for ref, found in audit.benchmarks:
        if found:
            lines = shown(found)
            rows += [(found.spec.scenario, title(line, several(lines)), *_cells(found, line)) for line in lines]
        else:
            why = "not for this model" if ref.refused else "could not be asked"
            rows.append((ref.scenario, "", why, *[""] * (len(HEAD) - 1)))
    return _used("All numbers", ("benchmark", "measure", *HEAD), rows)


def by_context(record: BenchmarkRecord) -> Table:
    """Return the headline numbers of each context and group; nothing where there is only one."""
    lines = shown(record, by_context=True)
    if len(lines) == len(shown(record)):
        return EMPTY
    rows = [(line.row.context, title(line, context=False), *_cells(record, line)) for line in lines]
    return _used("By context and group", ("context", "measure", *HEAD), rows)


def _cells(record: BenchmarkRecord, line: Line) -> tuple[str, ...]:
    row = line.row
    known = [table.get(row.measure, {}).get(row.key) for table in (record.neutral, record.guess)]
    value = "" if row.subject == "edit" else amount(row.estimate)
    return (value, *(_text(each) for each in (line.edit, line.change)),
            *("" if each is None else mark(each) for each in known),
            *(_text(each) for each in (line.untrained, line.sound)), _rests_on(row.estimate))  # fmt: skip


def _text(row: Row | None) -> str:
    return amount(row.estimate) if row else ""


def _rests_on(estimate: Estimate) -> str:
    return f"{estimate.n:,} / {estimate.n_clusters:,}"


def _used(caption: str, head: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Table:
    """Return a table without the columns that nothing stands in."""
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]
    return Table(caption, tuple(head[i] for i in kept), tuple(tuple(row[i] for i in kept) for row in rows))


def provenance(audit: Audit) -> list[Table]:
    """Return which model was asked, how, by which versions, and which records hold the numbers."""
    record = audit.record
    model = tuple((key, plain(value)) for key, value in record.model.items())
    how = [("suite", record.name), ("seed", str(record.seed)), ("edit", record.edit or "none")]
    for each in audit.finished[:1]:
        run = each.spec.run
        settings = {**run.get("reading", {}), **{f"bootstrap {k}": v for k, v in run.get("bootstrap", {}).items()}}
        how += [(key, plain(value)) for key, value in settings.items() if key != "seed"]
        how += [(f"version of {name}", str(value)) for name, value in run.get("versions", {}).items()]
    how.append(("time of computing", f"{sum(each.seconds for each in audit.finished) / 60:.1f} minutes"))
    data = tuple((each.spec.scenario, f"{each.cases:,}", each.spec.scenario_fingerprint,
                  f"benchmarks/{each.spec.hash}.json") for each in audit.finished)  # fmt: skip
    return [Table("Model", ("what", "value"), model), Table("How it was asked", ("what", "value"), tuple(how)),
            Table("Records", ("benchmark", "items", "fingerprint of what was asked", "file in the folder"),
                  data)]  # fmt: skip
