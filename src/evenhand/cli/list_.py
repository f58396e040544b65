"""`evenhand list`: what there is to choose from, read from file names without importing anything."""

from __future__ import annotations

from typing import Annotated

import typer

from evenhand import find
from evenhand.core.errors import UsageError, nearest


def list_(
    kind: Annotated[str | None, typer.Argument(help=f"One of: {', '.join(find.KINDS)}.", show_default=False)] = None,
) -> None:
    """List scenarios, measures, locators, edits and methods with one line each.

    Example: evenhand list methods
    """
    if kind is not None and kind not in find.KINDS:
        raise UsageError(f"there is no kind {kind!r}{nearest(kind, find.KINDS)} (known: {', '.join(find.KINDS)})")
    for each in find.KINDS:
        if kind in (None, each):
            found = find.names(each)
            width = max((len(name) for name in found), default=0)
            print(f"{each}:")
            for name, line in found.items():
                print(f"  {name:{width}}  {line}")
