"""Scenarios by name or path: TOML files are read and checked, Python files are asked for theirs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from evenhand import find
from evenhand.core.errors import UsageError
from evenhand.core.plugin import takes
from evenhand.core.scenario import Scenario
from evenhand.scenarios._toml.read import read_toml


def load_scenario(name_or_path: str, data: Path | None = None) -> Scenario:
    """Return a bundled scenario by name, or one of your own by the path of its .toml or .py file.

    `data` is the folder of public benchmarks that some packs read; default: the environment variable EVENHAND_DATA.
    Raises UsageError for an unknown name and for everything wrong in the file, with line and key; CannotRun where a
    pack's data are absent or damaged.
    """
    bundled = name_or_path in find.names("scenarios")
    if not bundled and Path(name_or_path).exists() and Path(name_or_path).suffix not in (".toml", ".py"):
        raise UsageError(f"{name_or_path}: a scenario is a .toml or a .py file; rename it, or give another path")
    if _is_python(name_or_path):
        return _from_python(name_or_path, data)
    return read_toml(find.path_of("scenarios", name_or_path))


def _is_python(name: str) -> bool:
    dotted = "." in name and "/" not in name and not name.endswith((".toml", ".py"))
    return dotted or find.path_of("scenarios", name).suffix == ".py"


def _from_python(name: str, data: Path | None) -> Scenario:
    load: Any = getattr(find.module("scenarios", name), "load", None)
    if not takes(load, ["data"]):
        raise UsageError(f"scenario {name!r}: its file must define the function load(data: Path | None) -> Scenario")
    folder = os.environ.get("EVENHAND_DATA")
    loaded = load(data or (Path(folder) if folder else None))
    if not isinstance(loaded, Scenario):
        raise UsageError(f"scenario {name!r}: load() must return a Scenario, not {type(loaded).__name__}")
    return loaded
