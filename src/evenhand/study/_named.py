"""Measures as a study writes them: a name, or a table of a name and settings."""

from __future__ import annotations

from typing import Any, cast

from evenhand import find
from evenhand.core.errors import UsageError, nearest
from evenhand.study._explain import Place, mistake


def named_measures(key: str, written: Any, settings: dict[str, Any]) -> Any:
    """Return the names of measures; the settings of those written as tables are put into `settings`."""
    if not isinstance(written, (list, tuple)):
        return written
    names: list[Any] = []
    for place, each in enumerate(cast("list[Any]", written)):
        if not isinstance(each, dict):
            names.append(each)
            continue
        table, at = cast("dict[str, Any]", each), (key, place)
        unknown = [found for found in table if found not in ("name", "settings")]
        if unknown:
            raise mistake(at, f"unknown key {unknown[0]!r}{nearest(unknown[0], ('name', 'settings'))} "
                              "(known: name, settings)")  # fmt: skip
        if not isinstance(table.get("name"), str):
            raise mistake(at, 'a measure with settings is written { name = "…", settings = { … } }')
        name, chosen = table["name"], table.get("settings", {})
        build_measure(name, chosen, at)
        if chosen != settings.get(name, chosen):
            raise mistake(at, f"{name!r} is given two different settings; a measure has the same ones everywhere")
        names.append(name)
        if chosen:
            settings[name] = chosen
    return names


def build_measure(name: str, settings: Any, at: Place) -> None:
    """Raise a mistake at this place of the file unless there is such a measure with such settings."""
    if not isinstance(settings, dict):
        raise mistake(at, f"settings of {name!r} must be a table {{ key = value }}")
    try:
        find.build("measures", name, cast("dict[str, Any]", settings))
    except UsageError as error:
        raise mistake(at, str(error)) from error
