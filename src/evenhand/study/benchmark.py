"""Measure one benchmark on one model: alone, beside an edit of it, and beside the same model before any training."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from evenhand import find
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.declared import alternatives_of, beside_unedited, guess_of, headline_of, neutral_of, unit_of
from evenhand.core.errors import CannotRun, EvenhandError, UsageError, nearest
from evenhand.core.measure import Measure, Subject, measure
from evenhand.core.plugin import told
from evenhand.core.progress import Progress, silent
from evenhand.core.readout import Readout
from evenhand.core.record import ALL, UNTRAINED, BenchmarkRecord, BenchmarkSpec, Row, digest
from evenhand.core.scenario import Scenario
from evenhand.edits._file import Saved
from evenhand.lm.model import LM
from evenhand.lm.read import Reading, read
from evenhand.lm.untrained import untrained
from evenhand.scenarios._load import load_scenario
from evenhand.study.code import fingerprints
from evenhand.study.entry import Entry, sampled
from evenhand.study.grid import versions
from evenhand.study.models import identity
from evenhand.study.readings import labelled, read_edits
from evenhand.study.shards import Ask, read_kept, shard_size, shards
from evenhand.study.store import CannotWrite, Store, write


@dataclass(frozen=True)
class NotMeasured:
    """A benchmark without a result, and why."""

    scenario: str
    error: EvenhandError
    refused: bool
    """True: this model cannot take it (a masked model asked for free text). False: it could not even be asked."""

    @property
    def why(self) -> str:
        """The same in words."""
        return "not for this model" if self.refused else "could not be asked"


Ended = BenchmarkRecord | NotMeasured


@dataclass(frozen=True)
class Asking:
    """A model on the table, how its answers are read, and an edit of it to be measured beside it."""

    lm: LM
    reading: Reading = field(default_factory=Reading)
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    edit: Saved | None = None
    progress: Progress = silent

    def of(self, entry: Entry) -> Asking:
        """Return how an entry is asked: its own number and length of answers, where it says so."""
        own = {"samples": entry.samples, "max_new_tokens": entry.new_tokens}
        known = {name: each for name, each in own.items() if each is not None}
        return dataclasses.replace(self, reading=dataclasses.replace(self.reading, **known))


Answers = Mapping[str, Sequence[Readout]]
"""Subject (base, edit, untrained) → its readouts, one per kind of outcome in the same order."""


def run_benchmark(asking: Asking, entry: Entry, store: Store) -> tuple[Ended, bool]:
    """Return the record of one benchmark, and whether it was measured now.

    A record that is there already, of the same model asked in the same way, is read and not measured again. What goes
    wrong is returned; only a disk that cannot be written and a mistake in evenhand itself are raised.
    """
    started, asked, asking = time.monotonic(), False, asking.of(entry)
    try:
        scenario = sampled(load_scenario(entry.scenario), entry, asking.reading.seed)
        measures = _measures(entry, scenario, asking.edit is not None)
        spec = _spec(asking, entry, scenario, measures)
        path = store.folder / "benchmarks" / f"{spec.hash}.json"
        if (known := _known(path, store.notify)) is not None and _controlled(known):
            return known, False
        asked = True
        record = _record(spec, scenario, measures, _answers(asking, spec, scenario, store), asking.bootstrap)
    except CannotWrite:
        raise
    except Exception as error:
        known_error = told(error)
        if known_error is None:
            raise
        return NotMeasured(entry.scenario, known_error, refused=asked and isinstance(error, CannotRun)), True
    record = record.model_copy(update={"seconds": time.monotonic() - started})
    write(path, record.model_dump_json(indent=1).encode())
    return record, True


def _measures(entry: Entry, scenario: Scenario, edited: bool) -> dict[str, Measure]:
    """Build what is to be measured; raises UsageError for a measure that these cases have no answers for."""
    names = tuple(dict.fromkeys((*(entry.measures or scenario.measures), *entry.more)))
    if not names:
        raise UsageError(f"scenario {entry.scenario!r} names no measures; say `measures = […]` in the suite")
    outcomes = {context.outcome for context in scenario.contexts}
    measures: dict[str, Measure] = {name: find.build("measures", name, entry.settings.get(name)) for name in names}
    for name, each in measures.items():
        if not outcomes & {*each.kinds}:
            raise UsageError(
                f"measure {name!r} is read from answers of kind {', '.join(each.kinds)}; scenario {scenario.name!r} "
                f"asks for {', '.join(sorted(outcomes))}"
            )
    _check_named(entry, measures)
    kept = {name: each for name, each in measures.items() if edited or not beside_unedited(each)}
    if not kept:
        raise UsageError(f"{', '.join(measures)}: measured of an edit beside the unedited model; give one with --edit")
    return kept


def _check_named(entry: Entry, measures: Mapping[str, Measure]) -> None:
    """Raise UsageError for settings and limits of what is not measured, or has no value that means no bias."""
    if absent := [name for name in entry.settings if name not in measures]:
        raise UsageError(f"settings: {absent[0]!r} is not measured of {entry.scenario!r}{nearest(absent[0], measures)}")
    for limit in entry.fail_over:
        name = next((name for name in measures if limit == name or limit.startswith(f"{name}.")), None)
        if name is None:
            raise UsageError(f"fail_over: {limit!r} is not measured of {entry.scenario!r}{nearest(limit, measures)}")
        each = measures[name]
        if beside_unedited(each) or (math.isnan(each.neutral) and not getattr(each, "neutrals", None)):
            raise UsageError(
                f"fail_over: {name!r} has no value that means no bias, so it cannot have a limit; give one to a "
                "measure that compares groups or options"
            )


def _spec(asking: Asking, entry: Entry, scenario: Scenario, measures: dict[str, Measure]) -> BenchmarkSpec:
    beside = {"edit": asking.edit.fingerprint} if asking.edit else {}
    beside |= {UNTRAINED: str(asking.reading.seed)} if entry.untrained else {}
    return BenchmarkSpec(
        model=identity(asking.lm),
        scenario=scenario.name,
        scenario_fingerprint=scenario.fingerprint,
        measures=tuple(measures),
        run={
            "reading": asdict(asking.reading),
            "bootstrap": asdict(asking.bootstrap),
            "settings": {name: asdict(cast("Any", each)) for name, each in measures.items()},
            "versions": versions(),
            "code": fingerprints([("measures", name) for name in measures]),
            **({"beside": beside} if beside else {}),
        },
    )


def _answers(asking: Asking, spec: BenchmarkSpec, scenario: Scenario, store: Store) -> Answers:
    """Return what the model and those beside it say, from the cache where it is."""
    beside: dict[str, str] = spec.run.get("beside", {})
    found: dict[str, Sequence[Readout]] = {}
    parts = shards(scenario, asking.reading, shard_size(asking.lm))

    def keep(subject: str, ask: Ask) -> None:
        progress = asking.progress if subject == "base" else labelled(asking.progress, subject)
        who = f"{subject} {beside.get(subject, '')}".strip()
        found[subject] = read_kept(store, parts, ask, lambda shard: _key(spec, shard, who), progress)

    keep("base", lambda shard, progress: read(asking.lm, shard, asking.reading, progress))
    if asking.edit is not None:
        edit = asking.edit.edit
        keep("edit", lambda shard, progress: read_edits(asking.lm, shard, [edit], asking.reading, progress)[0])
    if UNTRAINED in beside:
        fresh = cache(lambda: untrained(asking.lm, asking.reading.seed))
        try:
            keep(UNTRAINED, lambda shard, progress: read(fresh(), shard, asking.reading, progress))
        except CannotWrite:
            raise
        except CannotRun as error:
            store.notify(f"{scenario.name}: no control with random weights: {error}")
    return found


def _key(spec: BenchmarkSpec, shard: Scenario, subject: str) -> str:
    """Return the name of kept answers: what is measured of them, and how intervals are made, plays no part."""
    run = {"reading": spec.run["reading"], "versions": spec.run["versions"], "code": spec.run["code"]["evenhand"]}
    run |= {} if subject == "base" else {"subject": subject}
    return digest(spec.model_copy(update={"measures": (), "run": run, "scenario_fingerprint": shard.fingerprint}))


def _known(path: Path, notify: Callable[[str], None]) -> BenchmarkRecord | None:
    try:
        return BenchmarkRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        notify(f"{path}: damaged ({str(error).splitlines()[0]}); measured again")
        return None


def _controlled(record: BenchmarkRecord) -> bool:
    """Whether its control is there, where one was asked for: one that failed is tried again."""
    return UNTRAINED not in record.spec.run.get("beside", {}) or any(row.subject == UNTRAINED for row in record.rows)


def _record(
    spec: BenchmarkSpec, scenario: Scenario, measures: dict[str, Measure], answers: Answers, bootstrap: Bootstrap
) -> BenchmarkRecord:
    flawed = sum(bool(case.flaw) for case in scenario.cases)
    rows = _rows(measures, answers, bootstrap, scenario.pooled)
    return BenchmarkRecord(
        spec=spec,
        rows=rows,
        sound=_rows(measures, _sound(answers), bootstrap, scenario.pooled) if flawed else (),
        headline={name: _headline(each, [row for row in rows if row.measure == name])
                  for name, each in measures.items()},
        neutral=_by_key(rows, lambda row: _no_bias(measures[row.measure], row.key)),
        ends={name: found for name, each in measures.items()
              if (found := _ends(each, [row.key for row in rows if row.measure == name]))},
        guess=_by_key(rows, lambda row: _guess(measures[row.measure], row.key, answers["base"])),
        cases=len(scenario.cases),
        flawed=flawed,
        licence=scenario.licence,
        citation=scenario.citation,
    )  # fmt: skip


def _sound(answers: Answers) -> Answers:
    """Return the answers to the cases that have no flaw; kinds of outcome left empty are dropped."""
    kept = {name: [each.where(lambda case: not case.flaw) for each in readouts] for name, readouts in answers.items()}
    return {name: [each for each in readouts if len(each)] for name, readouts in kept.items()}


def _no_bias(each: Measure, key: str) -> float | None:
    """Return the value that means no bias; what tells how far an edit moved a model has one that means no change."""
    return None if beside_unedited(each) else neutral_of(each, key)


def _guess(each: Measure, key: str, readouts: Sequence[Readout]) -> float | None:
    """Return what guessing gives among the options of the answers that a measure is read from."""
    return next((guess_of(each, key, readout) for readout in readouts if readout.kind in each.kinds), None)


def _headline(each: Measure, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the keys to show; of conventions of which some are not for every model, those with a value."""
    keys = headline_of(each, dict.fromkeys(row.key for row in rows))
    known = {row.key for row in rows if row.estimate.defined}
    return tuple(key for key in keys if key in known) or keys if alternatives_of(each) else keys


def _ends(each: Measure, keys: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return the range of the main value, for every key with the same neutral value and the same unit."""
    return {key: each.range for key in keys
            if each.range is not None and neutral_of(each, key) == each.neutral and unit_of(each, key) == each.unit
            and not key.endswith(".abs")}  # fmt: skip


def _by_key(rows: Sequence[Row], value: Callable[[Row], float | None]) -> dict[str, dict[str, float]]:
    """Measure → key → a number, of keys that have one."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        known = value(row)
        if known is not None and not math.isnan(known):
            found.setdefault(row.measure, {})[row.key] = known
    return found


def _rows(measures: dict[str, Measure], answers: Answers, bootstrap: Bootstrap, pooled: bool) -> tuple[Row, ...]:
    rows: list[Row] = []
    for each in zip(*answers.values(), strict=True):
        readouts = dict(zip(answers, each, strict=True))
        rows += _of_kind(measures, readouts, bootstrap)
        if pooled and len({case.context for case in readouts["base"].cases}) > 1:
            together = {name: _pooled(readout) for name, readout in readouts.items()}
            rows += _of_kind(measures, together, bootstrap)
    return tuple(rows)


def _of_kind(measures: dict[str, Measure], readouts: Mapping[str, Readout], bootstrap: Bootstrap) -> list[Row]:
    """Return the levels of every subject, and what the edit changed."""
    alone = {name: each for name, each in measures.items() if not beside_unedited(each)}
    base = Subject("base", readouts["base"])
    rows = list(measure(alone, base, bootstrap))
    if "edit" in readouts:
        edit = Subject("edit", readouts["edit"], base.readout)
        rows += measure(measures, edit, bootstrap)
        rows += measure(alone, edit, bootstrap, base)
    if UNTRAINED in readouts:
        fresh = Subject(UNTRAINED, readouts[UNTRAINED])
        own = [Subject(name, readouts[name], base.readout) for name in ("edit",) if name in readouts]
        rows += measure(alone, fresh, bootstrap)
        for subject in (base, *own):
            rows += measure(alone, subject, bootstrap, fresh)
    return rows


def _pooled(readout: Readout) -> Readout:
    """Return the same answers as if all contexts were one."""
    cases = tuple(dataclasses.replace(case, context=ALL) for case in readout.cases)
    return dataclasses.replace(readout, cases=cases)
