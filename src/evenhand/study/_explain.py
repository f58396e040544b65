"""Say what is wrong with a study file: file, line, key, and the nearest key that exists."""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from evenhand.core.errors import nearest

Place = tuple[str | int, ...]


def mistake(place: Place, text: str) -> PydanticCustomError:
    """Return an error to raise in a validator of the whole file, about one place in it."""
    return PydanticCustomError("mistake", "{text}", {"text": text, "place": place})


def explain(error: ValidationError, model: type[BaseModel], path: Path, text: str) -> str:
    """Return one line per mistake."""
    said: dict[Place, str] = {}
    for each in error.errors(include_url=False):
        place = _known_part(model, each.get("ctx", {}).get("place", each["loc"]))
        sentence = _sentence(each, place, model)
        said[place] = f"{said[place]}, or {sentence.split(': ', 1)[-1]}" if place in said else sentence
    lines: list[str] = []
    for place, sentence in said.items():
        if any(len(other) > len(place) and other[: len(place)] == place for other in said) and place:
            continue
        line = line_of(text, place)
        lines.append(f"{path}, line {line}: {sentence}" if line else f"{path}: {sentence}")
    return "\n".join(lines)


def _sentence(each: Any, place: Place, model: type[BaseModel]) -> str:
    key = _dotted(place)
    known = _keys(model, place[:-1])
    if each["type"] == "extra_forbidden":
        table = _dotted(place[:-1]) or "the file"
        return f"unknown key {str(place[-1])!r} in {table}{nearest(str(place[-1]), known)} (known: {', '.join(known)})"
    if each["type"] == "missing":
        return f"{key!r} is missing; it must be given"
    if each["type"] == "mistake":
        return f"{key}: {each['msg']}"
    message = (
        str(each["msg"]).removeprefix("Value error, ").replace("Input should be", "must be").replace("tuple", "list")
    )
    return f"{key}: {message[0].lower()}{message[1:]}, not {each['input']!r}" if key else message


def _dotted(place: Place) -> str:
    return "".join(f"[{p + 1}]" if isinstance(p, int) else f".{p}" for p in place).lstrip(".")


def _known_part(model: type[BaseModel], place: Place) -> Place:
    """Cut off the parts of a pydantic location that name no key of the file (union branches)."""
    kept: list[str | int] = []
    for part in place:
        if isinstance(part, str) and kept and part not in _keys(model, tuple(kept)) and not _model_at(model, kept):
            break
        kept.append(part)
    return tuple(kept)


def _model_at(model: type[BaseModel], place: list[str | int] | Place) -> type[BaseModel] | None:
    current: type[BaseModel] | None = model
    for part in place:
        if isinstance(part, int):
            continue
        field = current.model_fields.get(part) if current else None
        current = _inner(field.annotation) if field else None
    return current


def _inner(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as `tuple[ModelConfig, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in typing.get_args(annotation):
        if found := _inner(part):
            return found
    return None


def _keys(model: type[BaseModel], place: Place) -> list[str]:
    found = _model_at(model, place)
    return list(found.model_fields) if found else []


def line_of(text: str, place: Place) -> int | None:
    """Return the line (from 1) where a key stands in a TOML text, or its table's header; None when it has none."""
    headers: dict[str, int] = {}
    current: Place = ()
    best: tuple[int, int] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*(\[\[?)\s*([\w.\"'-]+)\s*\]", line):
            parts = tuple(part.strip("\"'") for part in header[2].split("."))
            if header[1] == "[[":
                headers[header[2]] = headers.get(header[2], -1) + 1
                current = (*parts, headers[header[2]])
            else:
                current = _nested(parts, headers)
            here = current
        elif key := re.match(r"\s*([\w\"'-]+)\s*=", line):
            here = (*current, key[1].strip("\"'"))
        else:
            continue
        if place[: len(here)] == here and (best is None or len(here) > best[0]):
            best = (len(here), number)
    return best[1] if best else None


def _nested(parts: tuple[str, ...], headers: dict[str, int]) -> Place:
    """Place of `[a.b]`, where `a` may be an array of tables."""
    if parts[0] in headers:
        return (parts[0], headers[parts[0]], *parts[1:])
    return parts
