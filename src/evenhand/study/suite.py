"""Run a suite: benchmark after benchmark on one model, each with its own measures, into one table; results resume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import field_validator

from evenhand import find
from evenhand.core.record import BenchmarkRecord, BenchmarkRef, SuiteRecord
from evenhand.study.benchmark import Asking, Ended, run_benchmark
from evenhand.study.config import Part, read_toml, validated
from evenhand.study.entry import Entry
from evenhand.study.models import identity
from evenhand.study.store import Store, write


class Suite(Part):
    """A list of benchmarks."""

    benchmarks: tuple[Entry, ...]

    @field_validator("benchmarks")
    @classmethod
    def _some(cls, value: tuple[Entry, ...]) -> tuple[Entry, ...]:
        if not value:
            raise ValueError("a suite lists one benchmark or more, each under [[benchmarks]]")
        return value


@dataclass(frozen=True)
class Watch:
    """Who is told how a suite goes: each benchmark that ended, and plain lines."""

    ended: Callable[[Ended, int, int, bool], None] = lambda benchmark, place, total, fresh: None
    notify: Callable[[str], None] = lambda line: None


def load_suite(name: str) -> Suite:
    """Return a suite by name or path; raises UsageError naming file, line and key of a mistake."""
    path = find.path_of("suites", name)
    text, data = read_toml(path, "a suite")
    suite = validated(Suite, path, text, data)
    for entry in suite.benchmarks:
        check(entry)
    return suite


def check(entry: Entry) -> None:
    """Raise UsageError for a benchmark or measure that there is not."""
    find.path_of("scenarios", entry.scenario)
    for each in dict.fromkeys((*entry.measures, *entry.more, *entry.settings)):
        find.build("measures", each, entry.settings.get(each))


def run_suite(asking: Asking, suite: Suite, folder: Path, watch: Watch = Watch(), name: str = "") -> list[Ended]:
    """Measure every benchmark; one that cannot be measured does not stop the others.

    What is in the folder already, asked of the same model in the same way, is read and not measured again. `suite.json`
    says after each benchmark what the folder holds, for the report.
    """
    if asking.edit is not None:
        asking.edit.on(asking.lm)
    ended: list[Ended] = []
    store = Store(folder, watch.notify)
    with store.locked():
        for place, entry in enumerate(suite.benchmarks, 1):
            found, fresh = run_benchmark(asking, entry, store)
            ended.append(found)
            write(folder / "suite.json", _record(asking, suite, name, ended).model_dump_json(indent=1).encode())
            watch.ended(found, place, len(suite.benchmarks), fresh)
    return ended


def _record(asking: Asking, suite: Suite, name: str, ended: Sequence[Ended]) -> SuiteRecord:
    return SuiteRecord(
        name=name,
        model=identity(asking.lm),
        edit=asking.edit.unchecked.describe() if asking.edit else "",
        seed=asking.reading.seed,
        listed=len(suite.benchmarks),
        benchmarks=tuple(_ref(each) for each in ended),
    )


def _ref(each: Ended) -> BenchmarkRef:
    if isinstance(each, BenchmarkRecord):
        return BenchmarkRef(scenario=each.spec.scenario, hash=each.spec.hash)
    return BenchmarkRef(scenario=each.scenario, error=str(each.error), refused=each.refused)
