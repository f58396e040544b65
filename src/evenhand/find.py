"""Plug-ins by name: a file of ours, a `path/to/file.py`, or a dotted module. Listing a folder imports nothing.

The file name says it all: `methods/set_difference.py` holds the class `SetDifference`; a scenario is either a `.toml`
file or a `.py` file with a function `load() -> Scenario`.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
import typing
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from evenhand.core import plugin as plugins
from evenhand.core.errors import EvenhandError, UsageError, nearest

Kind = Literal["scenarios", "suites", "readings", "measures", "locate", "spans", "edits", "methods"]
KINDS: tuple[Kind, ...] = ("scenarios", "suites", "readings", "measures", "locate", "spans", "edits", "methods")
_HERE = Path(__file__).parent


def names(kind: Kind) -> dict[str, str]:
    """Return the plug-ins of a kind as name → first line of their docstring (or TOML comment), without importing."""
    found: dict[str, str] = {}
    for path in sorted((_HERE / kind).iterdir()):
        if path.suffix in (".py", ".toml") and not path.name.startswith("_"):
            found[path.stem] = _first_line(path)
    return found


def summary(kind: Kind, name: str) -> str:
    """Return what `names` says of one plug-in, your own files included; empty when there is no such file here."""
    try:
        return _first_line(path_of(kind, name))
    except UsageError:
        return ""


def _first_line(path: Path) -> str:
    if path.suffix == ".py":
        try:
            return (ast.get_docstring(ast.parse(path.read_bytes(), str(path))) or "").split("\n")[0]
        except SyntaxError as error:
            raise plugins.not_importable(path.parent.name, error) from error
    text = path.read_text(encoding="utf-8")
    return text.split("\n")[0].lstrip("# ").strip() if text.startswith("#") else ""


def path_of(kind: Kind, name: str) -> Path:
    """Return the file a plug-in name stands for; raises UsageError naming the nearest known one."""
    direct = Path(name)
    if direct.suffix in (".py", ".toml"):
        if direct.is_file():
            return direct
        raise UsageError(f"{kind}: there is no file {name!r}")
    for suffix in (".toml", ".py"):
        bundled = _HERE / kind / f"{name}{suffix}"
        if bundled.is_file() and not name.startswith("_"):
            return bundled
    raise UsageError(
        f"{kind}: unknown name {name!r}{nearest(name, names(kind))} "
        f"(known: {', '.join(names(kind))}; or give a path to a file of your own)"
    )


def module(kind: Kind, name: str) -> ModuleType:
    """Import the module a plug-in name stands for; raises UsageError with file and line where that fails."""
    if "." in name and not name.endswith((".py", ".toml")):
        loaded = _imported(kind, name)
        if not Path(str(loaded.__file__)).is_relative_to(_HERE):
            plugins.mark(loaded)
        return loaded
    path = path_of(kind, name)
    if path.parent == _HERE / kind:
        return _imported(kind, f"evenhand.{kind}.{path.stem}")
    return _from_file(kind, path.resolve())


def _imported(kind: Kind, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise UsageError(f"{kind}: module {name!r} cannot be imported ({error})") from error
        raise plugins.not_importable(kind, error) from error
    except EvenhandError:
        raise
    except Exception as error:
        raise plugins.not_importable(kind, error) from error


def _from_file(kind: Kind, path: Path) -> ModuleType:
    """Import a file outside the package once per content, so that two builds of it are of the same class."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    name = f"evenhand_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{kind}: {str(path)!r} is not a Python file")
    loaded = importlib.util.module_from_spec(spec)
    plugins.mark(loaded)
    sys.modules[name] = loaded
    try:
        spec.loader.exec_module(loaded)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, EvenhandError) or not isinstance(error, Exception):
            raise
        raise plugins.not_importable(kind, error, str(path)) from error
    return loaded


def plugin(kind: Kind, name: str) -> type[Any]:
    """Return the class a plug-in file defines: `set_difference` → `SetDifference`."""
    loaded = module(kind, name)
    stem = Path(name).stem if name.endswith(".py") else name.rsplit(".", 1)[-1]
    wanted = "".join(word.capitalize() for word in stem.split("_"))
    found = getattr(loaded, wanted, None)
    if not isinstance(found, type):
        raise plugins.without_class(kind, loaded, wanted)
    return found


def build(kind: Kind, name: str, settings: dict[str, Any] | None = None) -> Any:
    """Build a plug-in with these settings.

    Raises UsageError for an unknown setting, a value its field cannot take, and a class short of its contract.
    """
    cls = plugin(kind, name)
    fields: dict[str, Any] = getattr(cls, "__dataclass_fields__", {})
    for key in settings or {}:
        if key not in fields:
            raise UsageError(
                f"{kind}: {name!r} has no setting {key!r}{nearest(key, fields)} (it has: {', '.join(fields) or 'none'})"
            )
    values = {key: _value(f"{kind}: {name!r}", cls, key, value) for key, value in (settings or {}).items()}
    try:
        built = cls(**values)
    except EvenhandError:
        raise
    except Exception as error:
        raise UsageError(
            f"{kind}: {plugins.place(cls)}: the class {cls.__name__!r} cannot be built ({error}); a plug-in is a "
            "frozen dataclass whose fields all have defaults"
        ) from error
    plugins.check(kind, cls, built)
    return built


def _value(where: str, cls: type[Any], key: str, value: Any) -> Any:
    """Return a setting as its field's type has it (a list from TOML becomes a tuple), or raise what it may be."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    try:
        hint = typing.get_type_hints(cls, include_extras=True)[key]
    except NameError as error:
        raise UsageError(f"{where}: its fields' types must be importable when it runs ({error})") from error
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
        return adapter.validate_python(value, strict=isinstance(value, bool))  # or true would pass for the number 1
    except ValidationError as error:
        choices = [str(each) for each in typing.get_args(hint)] if typing.get_origin(hint) is Literal else []
        said = error.errors()[0]["msg"]
        raise UsageError(
            f"{where}: setting {key} cannot be {value!r}{nearest(str(value), choices)} ({said[0].lower()}{said[1:]})"
        ) from error
