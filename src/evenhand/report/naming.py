"""What the page calls the models and methods of a run: short where that is clear, longer where two would look alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, cast

from evenhand import find
from evenhand.core.asked import entries
from evenhand.core.record import CellRecord, CellRef, RunRecord
from evenhand.report import words

CONTROL = "random"


@dataclass(frozen=True)
class Method:
    """A method as the study asked for it."""

    name: str
    differs: tuple[str, ...] = ()
    """Settings, sizes and layers that are not its defaults."""
    about: str = ""
    """What it does, in its own words; empty where its file is not at hand."""
    beside: bool = False
    """Whether it is there only for others to be set against."""

    @property
    def label(self) -> str:
        """Name and what differs, on one line."""
        return f"{self.name} ({'; '.join(self.differs)})" if self.differs else self.name

    @property
    def control(self) -> bool:
        """Whether it is no remedy but a yardstick: it picks at random, or is there only for others."""
        return self.beside or self.picks

    @property
    def picks(self) -> bool:
        """Whether it picks units at random."""
        return self.name == CONTROL


def methods(run: RunRecord) -> Callable[[CellRef, CellRecord | None], Method]:
    """Return how to call the method of a cell; of a cell that is not there yet, only its name is known."""
    asked = [entry for entry, _ in entries(cast("list[dict[str, Any]]", run.config.get("methods", [])))]

    def method(ref: CellRef, record: CellRecord | None) -> Method:
        fits = [entry for entry in asked if record and _asked_for(entry, record, run.config.get("sizes"))]
        entry = max(fits, key=lambda entry: len(entry.get("settings", {}))) if fits else {}
        return Method(_short(ref.method), tuple(_differs(entry)), find.summary("methods", ref.method), ref.control)

    return method


def _asked_for(entry: Mapping[str, Any], record: CellRecord, sizes: object) -> bool:
    """Whether a cell comes from this entry of the study."""
    spec = record.spec
    wanted = sizes if entry.get("sizes") is None else entry["sizes"]
    return (
        entry["name"] == spec.method
        and all(spec.settings.get(key) == value for key, value in entry.get("settings", {}).items())
        and (spec.run.get("sizes"), spec.run.get("layers")) == (wanted, entry.get("layers"))
    )


def _differs(entry: Mapping[str, Any]) -> Sequence[str]:
    found = [f"{key} = {plain(value)}" for key, value in entry.get("settings", {}).items()]
    if (sizes := entry.get("sizes")) is not None:
        found.append({"paper": "its own size", "grid": "a grid of sizes"}.get(str(sizes)) or f"sizes {plain(sizes)}")
    if entry.get("layers"):
        found.append(f"only layers {plain(entry['layers'])}")
    return found


def _short(method: str) -> str:
    """The name of a method that is given as a file or a dotted module."""
    return PurePath(method).stem if method.endswith(".py") else method.rsplit(".", 1)[-1]


def model_names(run: RunRecord) -> list[str]:
    """Return what each model is called: the last part of what the study wrote, or more where that is not enough.

    A record knows a local model by its contents and the name of its folder; the study by where it was.
    """
    asked = [str(entry["source"]) for entry in cast("list[dict[str, Any]]", run.config.get("models", []))]
    written = asked if len(asked) == len(run.models) else [str(model["source"]) for model in run.models]
    levels = [
        [words.label(source) for source in written],
        written,
        [f"{source} ({_unlike(model, run.models)})" for source, model in zip(written, run.models, strict=True)],
    ]
    return [
        next((level[i] for level in levels if level.count(level[i]) == 1), levels[-1][i]) for i in range(len(written))
    ]


def by_identity(run: RunRecord) -> Callable[[dict[str, Any]], str]:
    """Return how to call a model of the run by its identity."""
    names = dict(zip(map(_key, run.models), model_names(run), strict=True))
    return lambda model: names[_key(model)]


def models(run: RunRecord) -> Callable[[CellRef, CellRecord | None], str]:
    """Return how to call the model of a cell; of a cell that is not there yet, only its source is known."""
    names = model_names(run)
    by_identity = {_key(model): name for model, name in zip(run.models, names, strict=True)}
    by_source = {str(model["source"]): name for model, name in zip(run.models, names, strict=True)}
    return lambda ref, record: (
        by_identity.get(_key(record.spec.model) if record else "") or by_source.get(ref.model) or words.label(ref.model)
    )


def _key(model: Mapping[str, Any]) -> str:
    return json.dumps(model, sort_keys=True)


def _unlike(model: Mapping[str, Any], all_: Sequence[Mapping[str, Any]]) -> str:
    """What tells a model from others of the same source: its format, its chat template, its revision."""
    keys = [key for key in model if len({str(other.get(key)) for other in all_}) > 1 and key != "source"]
    return ", ".join(f"{key} {plain(model[key])}" for key in keys)


def plain(value: object) -> str:
    """Return a setting as people write it."""
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(plain(each) for each in cast("list[object]", value))
    return str(value)
