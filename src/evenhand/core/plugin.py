"""What is wrong with a plug-in, told to its author: the file, the line, and what was expected there."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from types import FunctionType, ModuleType
from typing import Any, TypeVar

from evenhand.core.errors import CannotRun, EvenhandError, UsageError

T = TypeVar("T")

_MARK = "__evenhand_plugin__"
_CONTRACTS = {
    "measures": ("evenhand.core.measure", "Measure"),
    "locate": ("evenhand.core.contracts", "Locator"),
    "spans": ("evenhand.core.contracts", "Selector"),
    "methods": ("evenhand.core.contracts", "Method"),
}
"""Looked up by name when a plug-in is built: the contracts import torch, and finding plug-ins does not."""


def mark(module: ModuleType) -> None:
    """Note that a module is somebody else's plug-in, so that its exceptions are told as its own."""
    setattr(module, _MARK, True)


def not_importable(kind: str, error: Exception, file: str = "") -> UsageError:
    """Return the error of a file that cannot be imported; `file` is where the line is looked for first."""
    if isinstance(error, SyntaxError):
        line = f"; the line reads: {error.text.strip()[:100]}" if error.text else ""
        return UsageError(f"{kind}: {error.filename}, line {error.lineno}: not valid Python: {error.msg}{line}")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<frozen")]
    last = next((f for f in reversed(frames) if f.filename == file), frames[-1])
    hint = f"; install {error.name!r}, or take the import out" if isinstance(error, ModuleNotFoundError) else ""
    return UsageError(
        f"{kind}: {last.filename}, line {last.lineno}: cannot be imported ({type(error).__name__}: {error}){hint}"
    )


def without_class(kind: str, module: ModuleType, wanted: str) -> UsageError:
    """Return the error of a file that lacks the class its name promises."""
    own = [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__]
    found = ", ".join(f"{each.__name__!r} (line {_line(each)})" for each in own) or "no class"
    return UsageError(
        f"{kind}: {module.__file__} must define the class {wanted!r} (its file's name in CamelCase); it defines {found}"
    )


def check(kind: str, cls: type[Any], built: Any) -> None:
    """Raise UsageError unless a plug-in built of a class is a dataclass with all that the contract of its kind asks."""
    if kind not in _CONTRACTS:
        return
    module, name = _CONTRACTS[kind]
    contract: type[Any] = getattr(importlib.import_module(module), name)
    asked = {member: _wanted(each) for member, each in vars(contract).items() if not member.startswith("_")}
    lacks = [_shown(member, takes) for member, takes in asked.items() if not _has(built, member, takes)]
    if not dataclasses.is_dataclass(cls):
        lacks.insert(0, "the decorator @dataclass(frozen=True)")
    if lacks:
        every = ", ".join(_shown(member, takes) for member, takes in asked.items())
        raise UsageError(
            f"{kind}: {place(cls)}: the class {cls.__name__!r} lacks {', '.join(lacks)} "
            f"(a {name.lower()} is a frozen dataclass with {every}: see {module}.{name})"
        )


def place(cls: type[Any]) -> str:
    """Return file and line of a class."""
    return f"{sys.modules[cls.__module__].__file__}, line {_line(cls)}"


def takes(function: Any, parameters: Sequence[str]) -> bool:
    """Return whether something can be called with this many arguments in order."""
    try:
        inspect.signature(function).bind(*parameters)
    except (TypeError, ValueError):
        return False
    return True


def returned(value: Any, wanted: type[T], plugin: object, function: str) -> T:
    """Return what a function of a plug-in returned; raises CannotRun when it is not what the contract says."""
    if isinstance(value, wanted):
        return value
    raise CannotRun(
        f"{place(type(plugin))}: {function}() of {type(plugin).__name__!r} must return {wanted.__module__}."
        f"{wanted.__name__}, not {type(value).__name__}"
    )


def told(error: Exception) -> EvenhandError | None:
    """Return an exception as it is told: itself, or where a plug-in raised it.

    None when it is evenhand's own, or when the whole traceback is wanted (EVENHAND_DEBUG).
    """
    if isinstance(error, EvenhandError):
        return error
    frames = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if _MARK in frame.f_globals]
    if not frames or os.environ.get("EVENHAND_DEBUG"):
        return None
    frame, line = frames[-1]
    last = str([each for each, _ in traceback.walk_tb(error.__traceback__)][-1].f_globals.get("__name__", ""))
    inside = (
        f"; it was raised in {last}, which it called: its arguments may be wrong, or that is a mistake of evenhand"
        if last.split(".")[0] == "evenhand"
        else ""
    )
    return CannotRun(
        f"{frame.f_code.co_filename}, line {line}: this plug-in stopped in {frame.f_code.co_name}() with "
        f"{type(error).__name__}: {error}{inside} (EVENHAND_DEBUG=1 shows the whole traceback)"
    )


def _wanted(member: Any) -> tuple[str, ...] | None:
    """The arguments of a function of a contract; None for a value."""
    return tuple(inspect.signature(member).parameters)[1:] if isinstance(member, FunctionType) else None


def _shown(member: str, parameters: tuple[str, ...] | None) -> str:
    return member if parameters is None else f"{member}({', '.join(parameters)})"


def _has(built: Any, member: str, parameters: tuple[str, ...] | None) -> bool:
    found: Callable[..., Any] | None = getattr(built, member, None)
    return hasattr(built, member) and (parameters is None or takes(found, parameters))


def _line(cls: type[Any]) -> int:
    try:
        return inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):  # made while the file ran, so it stands nowhere
        return 0
