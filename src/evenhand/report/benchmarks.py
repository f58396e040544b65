"""The page of an audit as plain values: what was found, what must not be concluded, every number, every benchmark.

Its one figure, a line for each number, is drawn by the style sheet alone, so that the page needs no script and is small
enough to be written at the end of every audit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evenhand import find
from evenhand.core.record import UNTRAINED, BenchmarkRecord, SuiteRecord
from evenhand.judge.benchmarks import broken, idle
from evenhand.report import benchmarks_found as found
from evenhand.report import benchmarks_tables as tables
from evenhand.report import words
from evenhand.report.benchmarks_about import About, about
from evenhand.report.benchmarks_found import Bench, Card
from evenhand.report.benchmarks_numbers import numbers
from evenhand.report.load import Audit
from evenhand.report.tables import Table


@dataclass(frozen=True)
class Part:
    """One benchmark as the page tells of it."""

    bench: Bench
    about: About
    by_context: Table
    silent: bool
    """Whether the model does not do its task."""
    broken: bool
    """Whether the edited model no longer does."""


@dataclass(frozen=True)
class AuditPage:
    """What the template needs."""

    record: SuiteRecord
    model: str
    measured: int
    cards: tuple[tuple[str, tuple[Card, ...]], ...]
    """Which model → what was found of it."""
    luck: str
    cautions: tuple[Card, ...]
    limits: tuple[str, ...]
    parts: tuple[Part, ...]
    table: Table
    measures: tuple[tuple[str, str], ...]
    """Measure → what it is, in its own words."""
    provenance: tuple[Table, ...]

    @property
    def ended(self) -> bool:
        """Whether every benchmark of the suite was tried."""
        return len(self.record.benchmarks) >= self.record.listed

    @property
    def drawn(self) -> tuple[Part, ...]:
        """The benchmarks that have numbers to draw."""
        return tuple(part for part in self.parts if part.bench.numbers)

    @property
    def untrained(self) -> bool:
        """Whether random weights stand on some line."""
        return any(number.of(UNTRAINED) for part in self.parts for number in part.bench.numbers)


def build(audit: Audit) -> AuditPage:
    """Return everything the page of an audit shows."""
    parts = [_part(record) for record in audit.finished]
    benches = [part.bench for part in parts]
    subjects = {"base": "The unedited model", "edit": "The edited model"} if audit.record.edit else {"base": ""}
    return AuditPage(
        audit.record,
        words.label(str(audit.record.model.get("source", "model"))),
        len(parts),
        tuple((title, tuple(found.cards(benches, subject))) for subject, title in subjects.items()),
        found.luck(benches),
        tuple(found.cautions(audit)),
        tuple(found.limits(audit)),
        tuple(parts),
        tables.everything(audit),
        _measures(audit.finished),
        tuple(tables.provenance(audit)),
    )


def _part(record: BenchmarkRecord) -> Part:
    bench = Bench(record, tuple(numbers(record)))
    return Part(bench, about(record.spec.scenario), tables.by_context(record), bool(idle(record)), bool(broken(record)))


def _measures(records: Sequence[BenchmarkRecord]) -> tuple[tuple[str, str], ...]:
    names = sorted({name for record in records for name in record.spec.measures})
    return tuple((name.replace("_", " "), summary) for name in names if (summary := find.summary("measures", name)))
