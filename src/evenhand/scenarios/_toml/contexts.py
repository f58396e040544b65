"""Contexts of a scenario file with their inherited keys, and where each key was written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from evenhand.core.case import Outcome
from evenhand.scenarios._toml.lines import KeyPath
from evenhand.scenarios._toml.schema import ScenarioFile, Texts
from evenhand.scenarios._toml.template import slots

OF_OUTCOME = ("unit", "favourable", "answer_prefix", "options", "favourable_words", "unfavourable_words")
"""Keys that belong to a kind of answer: a context with another outcome than the file's does not inherit them."""
_SHARED = ("outcome", "system", "template")
JOIN = " + "
"""Between the values of a variation that fills several slots."""


@dataclass(frozen=True)
class Resolved:
    """One context as it will be asked: its own keys, then those of the file."""

    name: str
    path: KeyPath
    outcome: Outcome | None
    values: dict[str, Any]
    origin: dict[str, KeyPath]
    """Key → the key path under which it was written."""
    own: dict[str, Texts] = field(default_factory=dict[str, Texts])
    """Variations written in this context."""
    inherited: dict[str, Texts] = field(default_factory=dict[str, Texts])

    def text(self, key: str) -> str:
        """Return a text key, empty when absent."""
        return self.values.get(key) or ""

    def texts(self, key: str) -> Texts:
        """Return a list key, empty when absent."""
        return self.values.get(key) or ()

    def at(self, key: str) -> KeyPath:
        """Return where a key was written, or the context where it should be."""
        return self.origin.get(key, self.path)

    @property
    def asked(self) -> list[tuple[KeyPath, str]]:
        """Every text whose slots are filled, with its place; a pair has no template."""
        keys = ("system", "answer_prefix") if self.outcome == "pair" else ("template", "system", "answer_prefix")
        found = [(self.at(key), self.text(key)) for key in keys if self.text(key)]
        return found + [((*self.at("options"), i), option) for i, option in enumerate(self.texts("options"))]

    @property
    def slots(self) -> tuple[str, ...]:
        """All slots except the name, in order of first appearance."""
        seen = dict.fromkeys(slot for _, text in self.asked for slot in slots(text))
        return tuple(slot for slot in seen if slot != "name")

    @property
    def variations(self) -> dict[str, Texts]:
        """Values of every slot that is used, in the order of the slots."""
        merged = {**self.inherited, **self.own}
        return {slot: merged[slot] for slot in self.slots if slot in merged}

    def slot_path(self, slot: str) -> KeyPath:
        """Return where the values of a slot are written."""
        return (*(self.path if slot in self.own else ()), "variations", slot)


def resolve(file: ScenarioFile) -> list[Resolved]:
    """Return the contexts of a file in order; without any, the file itself is the only one."""
    if not file.contexts:
        values = {key: getattr(file, key) for key in (*_SHARED, *OF_OUTCOME) if getattr(file, key) is not None}
        return [Resolved(file.name, (), file.outcome, values, {key: (key,) for key in values}, dict(file.variations))]
    return [_context(file, name) for name in file.contexts]


def _context(file: ScenarioFile, name: str) -> Resolved:
    own, path = file.contexts[name], ("contexts", name)
    outcome = own.outcome or file.outcome
    same = file.outcome in (None, outcome)
    values: dict[str, Any] = {}
    origin: dict[str, KeyPath] = {}
    for key in (*_SHARED, *OF_OUTCOME):
        if getattr(own, key) is not None:
            values[key], origin[key] = getattr(own, key), (*path, key)
        elif getattr(file, key) is not None and (same or key in _SHARED):
            values[key], origin[key] = getattr(file, key), (key,)
    return Resolved(name, path, outcome, values, origin, dict(own.variations), dict(file.variations))
