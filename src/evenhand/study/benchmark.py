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
from evenhand.core.declared import beside_unedited
from evenhand.core.errors import CannotRun, EvenhandError, UsageError, nearest
from evenhand.core.measure import Measure
from evenhand.core.plugin import told
from evenhand.core.progress import Progress, silent
from evenhand.core.readout import Readout
from evenhand.core.record import UNTRAINED, BenchmarkRecord, BenchmarkSpec, digest
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
from evenhand.study.recorded import Answers, recorded
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
        record = recorded(spec, scenario, measures, _answers(asking, spec, scenario, store), asking.bootstrap)
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
        edit = asking.edit.on(asking.lm)
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
