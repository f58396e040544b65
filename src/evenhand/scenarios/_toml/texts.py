"""Checks of lists of texts: names, options, words, values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evenhand.core.errors import nearest
from evenhand.scenarios._toml.lines import KeyPath
from evenhand.scenarios._toml.schema import Problem


def list_problems(path: KeyPath, values: Sequence[str], what: str) -> Iterator[Problem]:
    """Yield a problem for each entry that is empty or repeats an earlier one."""
    for i, value in enumerate(values):
        if not value.strip():
            yield Problem((*path, i), f"this {what} is empty; write it or take it out")
        elif value in values[:i]:
            yield Problem((*path, i), f"the {what} {value!r} is there twice; keep one")


def among_options(path: KeyPath, value: str, options: Sequence[str]) -> Iterator[Problem]:
    """Yield a problem when `value` is none of the options, naming the nearest one."""
    if value in options:
        return
    same = [option for option in options if option.strip() == value.strip()]
    hint = f"; did you mean {same[0]!r}, spaces included?" if same else nearest(value, options)
    yield Problem(path, f"{value!r} is not among the options{hint} (options: {', '.join(map(repr, options))})")
