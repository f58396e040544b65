"""A selector by its name and its settings, as those who use one write them, and what it takes."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from evenhand import find
from evenhand.core import plugin
from evenhand.core.case import Case
from evenhand.core.contracts import Selector
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.spans import Spans, joined
from evenhand.lm.model import LM


def selector(name: str, settings: Sequence[str] = ()) -> Selector:
    """Return a selector; settings are written `key=value`, with the value as in TOML, or bare where it is a text."""
    built: Selector = find.build("spans", name, dict(setting(each) for each in settings))
    return built


def selected(chosen: Selector, lm: LM, texts: Sequence[Case], neutral: Sequence[str]) -> list[Spans]:
    """Return what a selector takes in each text; raises CannotRun where its spans are not in the texts."""
    found = [joined(spans) for spans in chosen.select(lm, texts, neutral)]
    where = plugin.place(type(chosen))
    if len(found) != len(texts):
        raise CannotRun(f"{where}: select() must return spans for each of {len(texts)} texts, not for {len(found)}")
    for case, spans in zip(texts, found, strict=True):
        if spans and not (spans[0][0] >= 0 and spans[-1][1] <= len(case.prompt)):
            raise CannotRun(
                f"{where}: select() returned {spans} for a text of {len(case.prompt)} characters; expected spans "
                "(start, end) with 0 ≤ start < end ≤ its length"
            )
    return found


def setting(written: str) -> tuple[str, Any]:
    """Return the key and the value of `key=value`; raises UsageError for anything else."""
    key, equals, value = written.partition("=")
    if not (key.strip() and equals):
        raise UsageError(f"spans: a setting is written 'key=value', not {written!r}; try \"least=0.5\"")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()
