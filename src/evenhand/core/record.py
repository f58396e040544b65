"""What is written about a run: rows of estimates, a point of the size sweep, edited units, one cell. Plain JSON."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, Literal

from evenhand.core.estimate import Estimate, Number
from evenhand.core.explained import MatrixRecord, UnitRecord
from evenhand.core.frozen import Record
from evenhand.core.trained import TrainingRecord

Protocol_ = Literal["specific", "leave-one-out", "cross-context"]
ALL = "all"
"""Context of the rows over all contexts of one kind of outcome together."""
UNTRAINED = "untrained"
"""Subject of the rows of the same model with random weights."""


def digest(record: Record) -> str:
    """Return the sha256 of a record's canonical JSON, 16 characters."""
    return digest_of(record.model_dump(mode="json"))


def digest_of(value: object) -> str:
    """Return the sha256 of a value's canonical JSON, 16 characters."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Row(Record):
    """One measured number: what, where, about which groups, of which model; a level or a paired difference."""

    measure: str
    key: str
    context: str
    variation: str = ""
    """Empty: the mean over the variations of the context."""
    groups: tuple[str, ...] = ()
    """(reference, other) for a comparison; the groups described otherwise."""
    subject: str = "base"
    """`base` (unedited), `edit`, or `random` (the size-matched random edit)."""
    against: str = ""
    """Empty: a level. Otherwise the paired difference subject − this one: against `base` what the subject changed,
    against `random` what the edit did beyond the random edit."""
    estimate: Estimate


class SweepPoint(Record):
    """One candidate size, and what it does on names neither fitted on nor reported on."""

    units: int
    """How many units, or how large a dose (see `CellRecord.dose`)."""
    share: Number
    gap: Estimate
    """Mean absolute standardised gap over the fitted-on variations."""
    random_gap: Estimate
    goal: Estimate = Estimate(value=math.nan)
    """What the size was chosen by instead, where the study names a goal: its mean over the same variations."""
    random_goal: Estimate = Estimate(value=math.nan)
    valid: Number
    """Share of valid answers."""
    perplexity_ratio: Number
    """Perplexity on neutral text, edited / unedited."""
    chosen: bool = False


class Distribution(Record):
    """Share of the mass of a group's answers in each bin of one context and variation."""

    context: str
    variation: str
    group: str
    subject: str
    edges: tuple[float, ...]
    """Bin edges, one more than `mass`; the first and last bins take what lies beyond."""
    mass: tuple[float, ...]


class CellSpec(Record):
    """All that a cell depends on; equal specs give equal cells."""

    model: dict[str, Any]
    """Identity: source, revision or sha256, dtype, chat template on or off."""
    method: str
    settings: dict[str, Any]
    """Every hyper-parameter of the method, defaults filled in."""
    scenario: str
    scenario_fingerprint: str
    utility_fingerprints: tuple[str, ...]
    fitted_on: tuple[str, ...]
    """Contexts whose cases the method saw."""
    variations: tuple[str, ...] = ()
    """Variations it saw; empty: all of those contexts."""
    fitted_to: str = ""
    """What the method was fitted to instead, in words, and `fitted_on` is only what it is for; mostly empty."""
    protocol: Protocol_ = "specific"
    seed: int = 0
    run: dict[str, Any]
    """Resolved run settings that change numbers: sizes, splits, bootstrap, numeric reading, versions."""

    @property
    def fitted(self) -> str:
        """What it was fitted on, in few words."""
        where = "+".join(self.fitted_on)
        where = f"{where} ({', '.join(self.variations)})" if self.variations else where
        return f"{self.fitted_to}, for {where}" if self.fitted_to else where

    @property
    def hash(self) -> str:
        """The cell's file name."""
        return digest(self)


class CellRecord(Record):
    """A finished cell: everything the report needs, and nothing that needs a model to read."""

    spec: CellSpec
    rows: tuple[Row, ...]
    sweep: tuple[SweepPoint, ...]
    units: tuple[UnitRecord, ...]
    """The first `units_shown`, of which the first `units_explained` have more than their words."""
    matrices: tuple[MatrixRecord, ...] = ()
    """Where the changed weights crowd, for an edit of single weights."""
    random_units: int = 0
    """Random units, each edited alone, that the next numbers are of; see `Explanation`."""
    random_change: Number = math.nan
    random_answer: Number = math.nan
    random_divergence: Number = math.nan
    per_layer: dict[str, int]
    layer_sizes: dict[str, int]
    space: str
    """Empty where the edit selects no units."""
    share: Number
    dose: str = ""
    """What the sizes of the sweep count where they are no units ("training steps")."""
    run_time_only: bool = False
    """Whether the edit works only while evenhand runs the model, so that no checkpoint holds it."""
    describes: str = ""
    """What the edit does, in one plain sentence without its subject; empty when the unedited model was kept."""
    distributions: tuple[Distribution, ...]
    edit: str = ""
    """Folder of the saved edit, relative to the run folder; empty when the unedited model was kept."""
    rule: str = ""
    """How the number of units was chosen, in words."""
    training: TrainingRecord | None = None
    """The training that the candidates come from, each term by itself; None where nothing was trained."""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


class ContextRecord(Record):
    """One use case as the report shows it."""

    name: str
    outcome: str
    unit: str = ""
    favourable: str = "high"
    variations: tuple[str, ...] = ()
    example: str = ""
    """One rendered prompt with its name, as the model saw it."""


class ScenarioRecord(Record):
    """A scenario as the report shows it."""

    name: str
    version: str
    fingerprint: str
    groups: tuple[str, ...]
    """The first is the reference."""
    contexts: tuple[ContextRecord, ...]
    parts: dict[str, dict[str, tuple[str, ...]]] = {}
    """part (fit, choose, report) → group → its names or, where the split is by variation, context → its variations; as
    the first seed deals them."""
    licence: str = ""
    citation: str = ""


class CellRef(Record):
    """A cell of the grid, finished or not; its record is `cells/<hash>.json`."""

    hash: str
    model: str
    method: str
    fitted_on: tuple[str, ...]
    variations: tuple[str, ...] = ()
    fitted_to: str = ""
    protocol: Protocol_ = "specific"
    seed: int = 0
    control: bool = False
    """Whether it is there only for others to be set against."""


class RunRecord(Record):
    """`run.json`: what was asked for, of what, with which versions."""

    name: str
    created: str
    command: str
    config: dict[str, Any]
    """The resolved study configuration, defaults filled in."""
    versions: dict[str, str]
    models: tuple[dict[str, Any], ...]
    scenario: ScenarioRecord
    utility: tuple[ScenarioRecord, ...] = ()
    cells: tuple[CellRef, ...] = ()


class BenchmarkSpec(Record):
    """All that one benchmark of a suite depends on; equal specs give equal numbers."""

    model: dict[str, Any]
    scenario: str
    scenario_fingerprint: str
    """Of the cases that were asked, after sampling."""
    measures: tuple[str, ...]
    run: dict[str, Any]
    """What else changes numbers: reading, bootstrap, sampling, versions, code."""

    @property
    def hash(self) -> str:
        """The file name of its record."""
        return digest(self)


class BenchmarkRecord(Record):
    """One benchmark measured on one model."""

    spec: BenchmarkSpec
    rows: tuple[Row, ...]
    """Per context and, where there are several of one kind, of all together (context `all`)."""
    sound: tuple[Row, ...] = ()
    """The same without the items known to be bad; empty where none is."""
    neutral: dict[str, dict[str, float]] = {}
    """Measure → key → the value that means no difference; keys that have none are left out."""
    ends: dict[str, dict[str, tuple[float, float]]] = {}
    """Measure → key → the least and the most that a number with such a value can be; unbounded ones are left out."""
    headline: dict[str, tuple[str, ...]] = {}
    """Measure → the keys that a table shows."""
    guess: dict[str, dict[str, float]] = {}
    """Measure → key → what guessing gives, of keys that tell whether the model does the task."""
    cases: int
    flawed: int = 0
    licence: str = ""
    citation: str = ""
    seconds: float = 0.0


class BenchmarkRef(Record):
    """A benchmark of a suite: its record is `benchmarks/<hash>.json`, or else why there is none."""

    scenario: str
    hash: str = ""
    error: str = ""
    refused: bool = False
    """The model cannot take it; otherwise it could not even be asked."""


class SuiteRecord(Record):
    """`suite.json`: what was asked of which model, in which order; written anew after each benchmark."""

    name: str
    model: dict[str, Any]
    edit: str = ""
    """What the edit that was measured beside the model does, in words; empty without one."""
    seed: int
    listed: int
    """How many benchmarks the suite has; fewer are below while it is not finished."""
    benchmarks: tuple[BenchmarkRef, ...] = ()
