"""`evenhand list`: what there is to choose from, read from file names without importing anything."""

from __future__ import annotations

from typing import Annotated

import typer

from evenhand import find
from evenhand.cli import options
from evenhand.cli.screen import document
from evenhand.core.errors import UsageError, nearest


def list_(
    kind: Annotated[str | None, typer.Argument(help=f"One of: {', '.join(find.KINDS)}.", show_default=False)] = None,
    json_: options.Json = False,
) -> None:
    """List scenarios, measures, locators, span selectors, readings, edits and methods with one line each.

    Example: evenhand list methods
    """
    if kind is not None and kind not in find.KINDS:
        raise UsageError(f"there is no kind {kind!r}{nearest(kind, find.KINDS)} (known: {', '.join(find.KINDS)})")
    found = {each: find.names(each) for each in find.KINDS if kind in (None, each)}
    if json_:
        document(found)
        return
    for each, plugins in found.items():
        width = max((len(name) for name in plugins), default=0)
        print(f"{each}:")
        for name, line in plugins.items():
            print(f"  {name:{width}}  {line}")
