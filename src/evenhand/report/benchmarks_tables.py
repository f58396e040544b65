"""The tables of an audit: every number, one benchmark by context, and where all of it comes from."""

from __future__ import annotations

from evenhand.core.record import BenchmarkRecord
from evenhand.judge.benchmarks import COLUMNS, cells, shown, used
from evenhand.report.benchmarks_numbers import amount, several, title
from evenhand.report.load import Audit
from evenhand.report.naming import plain
from evenhand.report.tables import EMPTY, Table


def everything(audit: Audit) -> Table:
    """Return every headline number of every benchmark."""
    rows: list[tuple[str, ...]] = []
    for ref, found in audit.benchmarks:
        if found:
            lines = shown(found)
            rows += [(found.spec.scenario, title(line, several(lines)), *cells(found, line, amount)) for line in lines]
        else:
            why = "not for this model" if ref.refused else "could not be asked"
            rows.append((ref.scenario, "", why, *[""] * (len(COLUMNS) - 1)))
    return Table("All numbers", *used(("benchmark", "measure", *COLUMNS), rows))


def by_context(record: BenchmarkRecord) -> Table:
    """Return the headline numbers of each context and group; nothing where there is only one."""
    lines = shown(record, by_context=True)
    if len(lines) == len(shown(record)):
        return EMPTY
    rows = [(line.row.context, title(line, context=False), *cells(record, line, amount)) for line in lines]
    return Table("By context and group", *used(("context", "measure", *COLUMNS), rows))


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
