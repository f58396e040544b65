"""A number that makes no sense for a setting is refused before anything is loaded, in every plug-in."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterator
from typing import Any

import pytest

from evenhand import find
from evenhand.core.errors import UsageError

NONSENSE: dict[type, tuple[Any, ...]] = {int: (-1, True), float: (math.nan, math.inf, True)}


def numbers() -> Iterator[tuple[find.Kind, str, str, Any]]:
    kinds: tuple[find.Kind, ...] = ("methods", "locate", "measures")
    for kind in kinds:
        for name in find.names(kind):
            cls = find.plugin(kind, name)
            types = typing.get_type_hints(cls)
            for field in dataclasses.fields(cls):
                yield from ((kind, name, field.name, value) for value in NONSENSE.get(types[field.name], ()))


@pytest.mark.parametrize(("kind", "name", "field", "value"), list(numbers()))
def test_nonsense_is_refused(kind: find.Kind, name: str, field: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        find.build(kind, name, {field: value})
    told = str(caught.value)
    for part in (name, field, str(value)):
        assert part in told
    assert any(valid in told for valid in ("should be", " in [")), told


def test_there_are_numbers_to_try() -> None:
    tried = {(name, field) for _, name, field, _ in numbers()}
    assert {("contrast", "units"), ("contrast", "factor"), ("set_difference", "votes"), ("random", "seed")} < tried


@pytest.mark.parametrize(
    ("name", "setting", "said"),
    [
        ("contrast", {"units": -3}, "units cannot be -3 (input should be greater than or equal to 1)"),
        ("contrast", {"candidates": -5}, "candidates cannot be -5 (input should be greater than or equal to 1)"),
        ("random", {"seed": 2**70}, f"seed cannot be {2**70} (input should be less than"),
        ("contrast", {"factor": math.nan}, "factor cannot be nan (input should be a finite number)"),
        ("set_difference", {"neuron_minority": -0.1}, "neuron_minority cannot be -0.1 (input should be greater than"),
    ],
)
def test_what_is_valid_is_said(name: str, setting: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        find.build("methods", name, setting)
    assert f"methods: '{name}': setting {said}" in str(caught.value)
