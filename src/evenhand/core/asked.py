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

    place: int
    """Which method of the study it comes from, from 0."""
    entry: Entry
    varied: dict[str, Any] = field(default_factory=dict[str, Any])
    """Of its settings those that were varied."""
    controls: dict[str, Entry] = field(default_factory=dict[str, Entry])
    """What the control is, in words → its entry."""


def asked(methods: Iterable[Mapping[str, Any]]) -> list[Asked]:
    """Return every method of a study, one for each combination of the values that its `vary` lists.

    A control of the same method has its settings, sizes and layers but for those it names; one by another method has
    only what it names, and is taken at its own size where it names none.
    """
    found: list[Asked] = []
    for place, method in enumerate(methods):
        vary: dict[str, list[Any]] = method.get("vary") or {}
        for values in itertools.product(*vary.values()):
            found.append(_asked(place, method, dict(zip(vary, values, strict=True))))
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


def mistake_in(methods: Iterable[Mapping[str, Any]]) -> str:
    """Return what is wrong with the values and controls of methods, in words; empty where nothing is."""
    listed = list(methods)
    for method in listed:
        vary: dict[str, list[Any]] = method.get("vary") or {}
        if both := [key for key in vary if key in method.get("settings", {})]:
            return f"{method['name']!r} has {both[0]!r} under both settings and vary; leave one out"
        if twice := [key for key, values in vary.items() if any(values.count(value) > 1 for value in values)]:
            return f"{method['name']!r} varies {twice[0]!r} over a value that is there twice"
        labels = [control["label"] for control in method.get("controls", ())]
        if len(set(labels)) < len(labels):
            return f"two controls of {method['name']!r} have the same label; tell them apart"
    for each in asked(listed):
        known: list[tuple[str, Entry]] = [(each.entry["name"], each.entry)]
        for label, control in each.controls.items():
            if same := [name for name, entry in known if entry == control]:
                return f"the control {label!r} does not differ from {same[0]!r}"
            known.append((label, control))
    return ""


def _asked(place: int, method: Mapping[str, Any], varied: dict[str, Any]) -> Asked:
    entry = {key: value for key, value in method.items() if key not in ("vary", "controls")}
    entry["settings"] = {**method.get("settings", {}), **varied}
    return Asked(place, entry, varied, {each["label"]: _control(entry, each) for each in method.get("controls", ())})


def _control(entry: Entry, control: Mapping[str, Any]) -> Entry:
    named = {key: control[key] for key in ("sizes", "layers") if control.get(key) is not None}
    settings: dict[str, Any] = control.get("settings", {})
    if control.get("name") in (None, "", entry["name"]):
        return {**entry, **named, "settings": {**entry["settings"], **settings}}
    own: Entry = dict.fromkeys(key for key in entry if key not in ("name", "settings"))
    return {**own, "sizes": "paper", **named, "name": control["name"], "settings": dict(settings)}
