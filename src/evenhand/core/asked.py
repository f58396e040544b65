"""What the methods of a study come to: one entry for each value that is varied, and the controls it is set against."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Entry = dict[str, Any]
"""A method with its settings, sizes and layers, as a study writes it."""


@dataclass(frozen=True)
class Asked:
    """One method with all its settings, and what it is to be more than."""

    entry: Entry
    varied: dict[str, Any] = field(default_factory=dict[str, Any])
    """Of its settings those that were varied."""
    controls: dict[str, Entry] = field(default_factory=dict[str, Entry])
    """What the control is, in words → its entry."""


def asked(methods: Iterable[Mapping[str, Any]]) -> list[Asked]:
    """Return every method of a study, one for each combination of the values that its `vary` lists.

    A control of the same method has its settings but for those it names; one by another method only those.
    """
    found: list[Asked] = []
    for method in methods:
        vary: dict[str, list[Any]] = method.get("vary") or {}
        found += [_asked(method, dict(zip(vary, values, strict=True))) for values in itertools.product(*vary.values())]
    return found


def entries(methods: Iterable[Mapping[str, Any]]) -> list[tuple[Entry, bool]]:
    """Return every entry once, methods before controls, and whether it is there only as a control."""
    found = asked(methods)
    kept: list[tuple[Entry, bool]] = []
    for only_control, few in (
        (False, [[each.entry] for each in found]),
        (True, [each.controls.values() for each in found]),
    ):
        for entry in itertools.chain.from_iterable(few):
            if all(entry != known for known, _ in kept):
                kept.append((entry, only_control))
    return kept


def _asked(method: Mapping[str, Any], varied: dict[str, Any]) -> Asked:
    entry = {key: value for key, value in method.items() if key not in ("vary", "controls")}
    entry["settings"] = {**method.get("settings", {}), **varied}
    return Asked(entry, varied, {each["label"]: _control(entry, each) for each in method.get("controls", ())})


def _control(entry: Entry, control: Mapping[str, Any]) -> Entry:
    name = control.get("name") or entry["name"]
    own: dict[str, Any] = entry["settings"] if name == entry["name"] else {}
    return {**entry, "name": name, "settings": {**own, **control.get("settings", {})}}
