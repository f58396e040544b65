"""Run a suite: benchmark after benchmark on one model, each with its own measures, into one table; results resume."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import Field, ValidationError, field_validator

from evenhand import find
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.case import Case
from evenhand.core.declared import alternatives_of, guess_of, headline_of, neutral_of
from evenhand.core.errors import EvenhandError, UsageError
from evenhand.core.measure import Measure, Subject, measure
from evenhand.core.plugin import told
from evenhand.core.progress import Progress, silent
from evenhand.core.readout import Readout
from evenhand.core.record import BenchmarkRecord, BenchmarkSpec, Row, digest
from evenhand.core.scenario import Scenario
from evenhand.lm.model import LM
from evenhand.lm.read import Reading, read
from evenhand.scenarios._load import load_scenario
from evenhand.study.code import fingerprints
from evenhand.study.config import Part, read_toml, validated
from evenhand.study.grid import versions
from evenhand.study.models import identity
from evenhand.study.store import CannotWrite, Store, write

ALL = "all"
"""Context of the rows over all contexts of one kind of outcome together."""
_Count = Annotated[int, Field(ge=1)]


class Entry(Part):
    """One benchmark of a suite, and how much of it is asked; without limits, all of it."""

    scenario: str
    contexts: tuple[str, ...] = ()
    clusters: _Count | None = None
    """At most so many clusters (pairs, words, questions) of each group in each context."""
    cases: _Count | None = None
    """At most so many cases of each of these clusters; not where the cases of a cluster are scored together."""
    measures: tuple[str, ...] = ()
    """Instead of those the benchmark names."""
    settings: dict[str, dict[str, Any]] = {}
    """Measure → its settings, where they are not the default ones."""
    samples: _Count | None = None
    """Answers per prompt where they are generated; default: as the command says."""
    new_tokens: _Count | None = None
    """Most tokens of a generated answer."""

    def reading(self, reading: Reading) -> Reading:
        """Return how its answers are read."""
        own = {"samples": self.samples, "max_new_tokens": self.new_tokens}
        return dataclasses.replace(reading, **{name: each for name, each in own.items() if each is not None})


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
class NotMeasured:
    """A benchmark without a result, and why."""

    scenario: str
    error: EvenhandError
    refused: bool
    """True: this model cannot take it (a masked model asked for free text). False: it could not even be asked."""


Ended = BenchmarkRecord | NotMeasured


@dataclass(frozen=True)
class Watch:
    """Who is told how a suite goes: progress inside a benchmark, each that ended, plain lines."""

    progress: Progress = silent
    ended: Callable[[Ended, int, int, bool], None] = lambda benchmark, place, total, fresh: None
    notify: Callable[[str], None] = lambda line: None


def load_suite(name: str) -> Suite:
    """Return a suite by name or path; raises UsageError naming file, line and key of a mistake."""
    path = find.path_of("suites", name)
    text, data = read_toml(path, "a suite")
    suite = validated(Suite, path, text, data)
    for entry in suite.benchmarks:
        find.path_of("scenarios", entry.scenario)
        for each in dict.fromkeys((*entry.measures, *entry.settings)):
            find.build("measures", each, entry.settings.get(each))
    return suite


def run_suite(
    lm: LM, suite: Suite, folder: Path, reading: Reading = Reading(), bootstrap: Bootstrap = Bootstrap(),
    watch: Watch = Watch(),
) -> list[Ended]:  # fmt: skip
    """Measure every benchmark; one that cannot be measured does not stop the others.

    What is in the folder already, asked of the same model in the same way, is read and not measured again.
    """
    ended: list[Ended] = []
    store = Store(folder, watch.notify)
    with store.locked():
        for place, entry in enumerate(suite.benchmarks, 1):
            found, fresh = _benchmark(lm, entry, store, reading, bootstrap, watch.progress)
            ended.append(found)
            watch.ended(found, place, len(suite.benchmarks), fresh)
    return ended


def sampled(scenario: Scenario, entry: Entry, seed: int) -> Scenario:
    """Return the cases an entry asks for: whole clusters drawn by the seed, and of each its evenly spaced cases.

    A cluster that stands in several groups or contexts is drawn in all of them or in none. Cases without a cluster
    belong to the way of asking (a neutral prompt) and are always kept.
    """
    scenario = scenario.only(entry.contexts)
    clusters: dict[tuple[str, str], dict[str, list[Case]]] = {}
    for case in scenario.cases:
        clusters.setdefault((case.context, case.group), {}).setdefault(case.cluster, []).append(case)
    kept: set[str] = set()
    for found in clusters.values():
        kept.update(case.id for case in found.pop("", ()))
        names = sorted(found)
        if entry.clusters is not None and len(names) > entry.clusters:
            names = sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())[: entry.clusters]
        for name in names:
            cases, most = found[name], entry.cases or len(found[name])
            n = min(most, len(cases))
            kept.update(cases[(2 * i + 1) * len(cases) // (2 * n)].id for i in range(n))
    return scenario.where(lambda case: case.id in kept)


def _benchmark(
    lm: LM, entry: Entry, store: Store, reading: Reading, bootstrap: Bootstrap, progress: Progress
) -> tuple[Ended, bool]:
    """Return the record of one benchmark, and whether it was measured now."""
    started, asked, reading = time.monotonic(), False, entry.reading(reading)
    try:
        whole = load_scenario(entry.scenario)
        scenario = sampled(whole, entry, reading.seed)
        names = entry.measures or scenario.measures
        if not names:
            raise UsageError(f"scenario {entry.scenario!r} names no measures; say `measures = […]` in the suite")
        measures = _measures(entry, scenario, names)
        spec = _spec(lm, scenario, measures, reading, bootstrap)
        path = store.folder / "benchmarks" / f"{spec.hash}.json"
        if (known := _known(path, store.notify)) is not None:
            return known, False
        asked = True
        readouts = store.readouts(_answers(spec), scenario, lambda: read(lm, scenario, reading, progress))
        record = _record(spec, scenario, measures, readouts, bootstrap)
    except CannotWrite:
        raise
    except Exception as error:
        known_error = told(error)
        if known_error is None:
            raise
        return NotMeasured(entry.scenario, known_error, refused=asked and isinstance(error, EvenhandError)), True
    record = record.model_copy(update={"seconds": time.monotonic() - started})
    write(path, record.model_dump_json(indent=1).encode())
    return record, True


def _measures(entry: Entry, scenario: Scenario, names: Sequence[str]) -> dict[str, Measure]:
    """Build what is to be measured; raises UsageError for a measure that these cases have no answers for."""
    outcomes = {context.outcome for context in scenario.contexts}
    measures: dict[str, Measure] = {name: find.build("measures", name, entry.settings.get(name)) for name in names}
    for name, each in measures.items():
        if not outcomes & {*each.kinds}:
            raise UsageError(
                f"measure {name!r} is read from answers of kind {', '.join(each.kinds)}; scenario {scenario.name!r} "
                f"asks for {', '.join(sorted(outcomes))}"
            )
    return measures


def _spec(
    lm: LM, scenario: Scenario, measures: dict[str, Measure], reading: Reading, bootstrap: Bootstrap
) -> BenchmarkSpec:
    return BenchmarkSpec(
        model=identity(lm),
        scenario=scenario.name,
        scenario_fingerprint=scenario.fingerprint,
        measures=tuple(measures),
        run={
            "reading": asdict(reading),
            "bootstrap": asdict(bootstrap),
            "settings": {name: asdict(cast("Any", each)) for name, each in measures.items()},
            "versions": versions(),
            "code": fingerprints([("measures", name) for name in measures]),
        },
    )


def _answers(spec: BenchmarkSpec) -> str:
    """Return the name of the cached answers: what is measured of them, and how intervals are made, plays no part."""
    run = {"reading": spec.run["reading"], "versions": spec.run["versions"], "code": spec.run["code"]["evenhand"]}
    return digest(spec.model_copy(update={"measures": (), "run": run}))


def _known(path: Path, notify: Callable[[str], None]) -> BenchmarkRecord | None:
    try:
        return BenchmarkRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        notify(f"{path}: damaged ({str(error).splitlines()[0]}); measured again")
        return None


def _record(
    spec: BenchmarkSpec, scenario: Scenario, measures: dict[str, Measure], readouts: Sequence[Readout],
    bootstrap: Bootstrap,
) -> BenchmarkRecord:  # fmt: skip
    flawed = sum(bool(case.flaw) for case in scenario.cases)
    rows = _rows(measures, readouts, bootstrap, scenario.pooled)
    sound = [readout.where(lambda case: not case.flaw) for readout in readouts] if flawed else []
    return BenchmarkRecord(
        spec=spec,
        rows=rows,
        sound=_rows(measures, [readout for readout in sound if len(readout)], bootstrap, scenario.pooled),
        headline={name: _headline(each, [row for row in rows if row.measure == name])
                  for name, each in measures.items()},
        neutral=_by_key(rows, lambda row: neutral_of(measures[row.measure], row.key)),
        guess=_by_key(rows, lambda row: _guess(measures[row.measure], row.key, readouts)),
        cases=len(scenario.cases),
        flawed=flawed,
        licence=scenario.licence,
        citation=scenario.citation,
    )  # fmt: skip


def _guess(each: Measure, key: str, readouts: Sequence[Readout]) -> float | None:
    """Return what guessing gives among the options of the answers that a measure is read from."""
    return next((guess_of(each, key, readout) for readout in readouts if readout.kind in each.kinds), None)


def _headline(each: Measure, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the keys to show; of conventions of which some are not for every model, those with a value."""
    keys = headline_of(each, dict.fromkeys(row.key for row in rows))
    known = {row.key for row in rows if row.estimate.defined}
    return tuple(key for key in keys if key in known) or keys if alternatives_of(each) else keys


def _by_key(rows: Sequence[Row], value: Callable[[Row], float | None]) -> dict[str, dict[str, float]]:
    """Measure → key → a number, of keys that have one."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        known = value(row)
        if known is not None and not math.isnan(known):
            found.setdefault(row.measure, {})[row.key] = known
    return found


def _rows(
    measures: dict[str, Measure], readouts: Sequence[Readout], bootstrap: Bootstrap, pooled: bool
) -> tuple[Row, ...]:
    rows: list[Row] = []
    for readout in readouts:
        rows += measure(measures, Subject("base", readout), bootstrap)
        if pooled and len({case.context for case in readout.cases}) > 1:
            rows += measure(measures, Subject("base", _pooled(readout)), bootstrap)
    return tuple(rows)


def _pooled(readout: Readout) -> Readout:
    """Return the same answers as if all contexts were one."""
    cases = tuple(dataclasses.replace(case, context=ALL) for case in readout.cases)
    return dataclasses.replace(readout, cases=cases)
