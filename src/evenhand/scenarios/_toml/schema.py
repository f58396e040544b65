"""The keys of a scenario file: frozen models that refuse unknown keys, and their errors in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from evenhand.core.errors import nearest
from evenhand.scenarios._toml.lines import KeyPath

Texts = tuple[str, ...]
Written = Literal["number", "choice", "pair", "text", "sentence"]
"""Outcomes a file may ask for; what embeddings are compared by are facts of a case, which only a program can give."""
_WRITTEN: tuple[str, ...] = get_args(Written)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a scenario file: at which key, and what."""

    path: KeyPath
    text: str


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ContextFile(_Table):
    """What a context may say; absent keys come from the top of the file."""

    outcome: Written | None = None
    unit: str | None = None
    favourable: str | None = None
    system: str | None = None
    answer_prefix: str | None = None
    template: str | None = None
    options: Texts | None = None
    favourable_words: Texts | None = None
    unfavourable_words: Texts | None = None
    variations: dict[str, Texts] = {}


class ItemFile(_Table):
    """One utility item: a question with its options and answer, or a text."""

    prompt: str | None = None
    options: Texts | None = None
    answer: str | None = None
    text: str | None = None


class ScenarioFile(ContextFile):
    """A whole scenario file."""

    name: str
    version: str = "1"
    reference: str | None = None
    licence: str = ""
    citation: str = ""
    groups: dict[str, Texts] | None = None
    contexts: dict[str, ContextFile] = {}
    items: tuple[ItemFile, ...] | None = None


def parse(data: Mapping[str, Any]) -> ScenarioFile | list[Problem]:
    """Return the file as a model, or everything that is wrong with its keys and types."""
    try:
        return ScenarioFile.model_validate(data)
    except ValidationError as error:
        return [_problem(dict(e)) for e in error.errors()]


def _problem(error: dict[str, Any]) -> Problem:
    path: KeyPath = tuple(error["loc"])
    return Problem(path, "".join(_words(path, error["type"], error.get("input"))))


def _words(path: KeyPath, kind: str, found: object) -> Iterator[str]:
    key, around = str(path[-1]), path[:-1]
    known = _known(around)
    if kind == "extra_forbidden":
        yield f"unknown key{nearest(key, known)} (known here: {', '.join(known)})"
    elif kind == "missing":
        yield "this key is missing; every scenario file needs it"
    elif kind == "literal_error":
        yield f"{found!r} is not an outcome{nearest(str(found), _WRITTEN)} (one of: {', '.join(_WRITTEN)})"
    elif kind == "string_type":
        yield f"expected a text in quotes, found {_shown(found)}"
    elif kind == "tuple_type":
        yield f'expected a list of texts such as ["one", "two"], found {_shown(found)}'
    elif kind in ("dict_type", "model_type"):
        yield f"expected a table such as [{key}], found {_shown(found)}"
    else:
        yield f"not understood ({kind.replace('_', ' ')}), found {_shown(found)}"
    top = [*ScenarioFile.model_fields]
    if around and key in top and key not in known:
        yield f"; {key!r} belongs to the whole file: put it above the first line that starts with ["


def _known(table: KeyPath) -> list[str]:
    """Return the keys a table may hold; none where the user chooses them (groups, variations)."""
    if not table:
        own = [key for key in ScenarioFile.model_fields if key not in ContextFile.model_fields]
        return [*own, *ContextFile.model_fields]
    if table[0] == "contexts" and len(table) == 2:
        return [*ContextFile.model_fields]
    if table[0] == "items" and len(table) == 2:
        return [*ItemFile.model_fields]
    return []


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "a table"
    kinds: dict[type, str] = {str: "the text ", bool: "the truth value ", int: "the number ", float: "the number ",
                              list: "the list "}  # fmt: skip
    return f"{kinds.get(type(value), '')}{value!r}"
