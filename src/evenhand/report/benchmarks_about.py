"""What a benchmark's own file says of it: what it measures, and why not to trust it alone."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from evenhand import find
from evenhand.core.errors import UsageError

_WHERE = r"\s*\(EVENHAND_DATA\)|[;,] (?:read from )?EVENHAND_DATA| Read from \S+ under EVENHAND_DATA [^.]*\."
"""Where the data are read from: of use to who asks, not to who reads."""


@dataclass(frozen=True)
class About:
    """Both in its own words; empty where its file is not at hand or says nothing of it."""

    measures: str = ""
    distrust: str = ""


def about(scenario: str) -> About:
    """Return what the file of a benchmark says, without importing it."""
    try:
        path = find.path_of("scenarios", scenario)
    except UsageError:
        return About()
    if path.suffix != ".py":
        return About(find.summary("scenarios", scenario))
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return About(_plain(text.split("\n")[0]), distrust(text))


def distrust(docstring: str) -> str:
    """Return why not to trust a benchmark alone; the whole paragraph where it only points to another benchmark."""
    for paragraph in map(_plain, docstring.split("\n\n")):
        if "not to trust it alone" in paragraph:
            reason = paragraph.partition("not to trust it alone: ")[2]
            whole = not reason or reason.startswith("see ")
            return paragraph if whole else reason[0].upper() + reason[1:]
    return ""


def _plain(text: str) -> str:
    """Return a text on one line, without the signs of a docstring."""
    return re.sub(_WHERE, "", " ".join(text.split())).replace("`", "")
