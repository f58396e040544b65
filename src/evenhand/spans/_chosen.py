"""A selector by its name and its settings, as those who use one write them."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from evenhand import find
from evenhand.core.contracts import Selector
from evenhand.core.errors import UsageError


def selector(name: str, settings: Sequence[str] = ()) -> Selector:
    """Return a selector; settings are written `key=value`, with the value as in TOML, or bare where it is a text."""
    built: Selector = find.build("spans", name, dict(setting(each) for each in settings))
    return built


def setting(written: str) -> tuple[str, Any]:
    """Return the key and the value of `key=value`; raises UsageError for anything else."""
    key, equals, value = written.partition("=")
    if not (key.strip() and equals):
        raise UsageError(f"spans: a setting is written 'key=value', not {written!r}; try \"least=0.5\"")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()
