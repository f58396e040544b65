"""Run a suite: benchmark after benchmark on one model, each with its own measures, into one table; results resume."""

from __future__ import annotations

import dataclasses
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator

from evenhand import find
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.case import Case
from evenhand.core.errors import EvenhandError, UsageError
from evenhand.core.measure import Measure, Subject, guess_of, headline_of, measure, neutral_of
from evenhand.core.plugin import told
from evenhand.core.progress import Progress, silent
from evenhand.core.readout import Readout
from evenhand.core.record import BenchmarkRecord, BenchmarkSpec, Row, digest
from evenhand.core.scenario import Scenario
from evenhand.judge.verdict import Limits
from evenhand.lm.model import LM
from evenhand.lm.read import Reading, read
from evenhand.scenarios._load import load_scenario
from evenhand.study.audit import unanswered
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
        for each in entry.measures:
            find.build("measures", each)
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


def shown(record: BenchmarkRecord, by_context: bool = False) -> list[tuple[Row, Row | None]]:
    """Return the rows of a table, each with the same row without flawed items, where there is one.

    One row per measure and headline key, of all groups and contexts together; of each context too with `by_context`,
    and for a measure that is undefined over all of them (tests that cannot be pooled). What is undefined everywhere is
    left out.
    """
    wide = max((len(row.groups) for row in record.rows), default=0)
    rows = [
        row for row in record.rows
        if not row.variation and row.key in record.headline.get(row.measure, ()) and len(row.groups) in (0, 2, wide)
    ]  # fmt: skip
    known = {(row.measure, row.key) for row in rows if row.estimate.defined}
    pooled = {row.measure for row in rows if row.context == ALL and row.estimate.defined}
    sound = {_place(row): row for row in record.sound}
    return [
        (row, sound.get(_place(row)))
        for row in rows
        if (row.measure, row.key) in known and (by_context or (row.context == ALL) == (row.measure in pooled))
    ]


def idle(record: BenchmarkRecord) -> list[str]:
    """Return what speaks against the model doing this task at all, over everything that was asked; empty: nothing.

    It does no better than guessing (the interval of such a measure reaches down to that), or hardly answers.
    """
    found: list[str] = []
    for row, _ in shown(record):
        guess = record.guess.get(row.measure, {}).get(row.key)
        low = row.estimate.value if math.isnan(row.estimate.low) else row.estimate.low
        if guess is not None and low <= guess:
            name = row.measure if row.key == "value" else f"{row.measure} {row.key}"
            found.append(f"{name} {row.estimate} is no better than guessing ({guess:.3g})")
    found += [
        f"{row.measure}: {row.estimate.value:.0%} of its answers cannot be read" for row, _ in shown(record)
        if row.key in ("invalid", "unread") and row.estimate.value > 1 - Limits().valid
    ]  # fmt: skip
    contexts = dict.fromkeys(row.context for row in record.rows)
    silent = unanswered(record.rows, ALL if ALL in contexts else next(iter(contexts)))
    return [*found, silent] if silent else found


def _place(row: Row) -> tuple[str, ...]:
    return row.measure, row.key, row.context, row.variation, *row.groups


def sampled(scenario: Scenario, entry: Entry, seed: int) -> Scenario:
    """Return the cases an entry asks for: whole clusters drawn by the seed, and of each its evenly spaced cases.

    Cases without a cluster belong to the way of asking (a neutral prompt) and are always kept.
    """
    scenario = scenario.only(entry.contexts)
    clusters: dict[tuple[str, str], dict[str, list[Case]]] = {}
    for case in scenario.cases:
        clusters.setdefault((case.context, case.group), {}).setdefault(case.cluster, []).append(case)
    kept: set[str] = set()
    for (context, _), found in clusters.items():
        kept.update(case.id for case in found.pop("", ()))
        names = sorted(found)
        if entry.clusters is not None and len(names) > entry.clusters:
            names = random.Random(f"{seed}:{context}").sample(names, entry.clusters)
        for name in names:
            cases, most = found[name], entry.cases or len(found[name])
            n = min(most, len(cases))
            kept.update(cases[i * len(cases) // n].id for i in range(n))
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
        measures: dict[str, Measure] = {name: find.build("measures", name) for name in names}
        spec = _spec(lm, scenario, names, reading, bootstrap)
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
        return NotMeasured(entry.scenario, known_error, refused=asked), True
    record = record.model_copy(update={"seconds": time.monotonic() - started})
    write(path, record.model_dump_json(indent=1).encode())
    return record, True


def _spec(lm: LM, scenario: Scenario, measures: Sequence[str], reading: Reading, bootstrap: Bootstrap) -> BenchmarkSpec:
    return BenchmarkSpec(
        model=identity(lm),
        scenario=scenario.name,
        scenario_fingerprint=scenario.fingerprint,
        measures=tuple(measures),
        run={
            "reading": asdict(reading),
            "bootstrap": asdict(bootstrap),
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
        headline={name: headline_of(each, [row.key for row in rows if row.measure == name])
                  for name, each in measures.items()},
        neutral=_by_key(rows, lambda row: neutral_of(measures[row.measure], row.key)),
        guess=_by_key(rows, lambda row: guess_of(measures[row.measure], row.key, readouts[0])),
        cases=len(scenario.cases),
        flawed=flawed,
        licence=scenario.licence,
        citation=scenario.citation,
    )  # fmt: skip


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
