"""What is written about edits set against their controls: what each changed over all seeds, and beyond each control."""

from __future__ import annotations

import math
from typing import Any, Literal

from evenhand.core.estimate import Estimate, Number
from evenhand.core.frozen import Record
from evenhand.core.record import Protocol_

Where = Literal["own", "other", "mixed", "general"]
"""Of a number: about what the edit was fitted to, about another part of the scenario, about both together, or taken on
utility texts and other benchmarks."""


class Beyond(Record):
    """One number in one place: what the edit changed there, and how much more than each control."""

    measure: str
    key: str
    context: str
    groups: tuple[str, ...] = ()
    where: Where = "general"
    change: Estimate
    """Edit − unedited, mean over seeds."""
    runs: tuple[Number, ...]
    """The same in each seed."""
    controls: dict[str, Estimate]
    """Control → what it changed."""
    more: dict[str, Estimate]
    """Control → edit − control."""
    p: Number = math.nan
    """That it changed nothing, or nothing more than one of the controls, in the direction it changed: the largest p of
    `change` and all `more`; 1 where a control changed more (intersection–union test, Berger 1982)."""
    q: Number = math.nan
    """p corrected (Benjamini–Hochberg) over all edits of the method and all places of this measure and key that are
    alike in `where`: what is found where edits were fitted must not make it easier to call something transferred."""


class Compared(Record):
    """One method, fitted in one place under several seeds, against its controls fitted in the same way."""

    model: dict[str, Any]
    method: str
    place: int = 0
    """Which method of the study it comes from, from 0."""
    settings: dict[str, Any]
    """As the study writes them."""
    varied: dict[str, Any] = {}
    """Of those, the ones that tell it from the other edits of its method."""
    fitted_on: tuple[str, ...]
    variations: tuple[str, ...] = ()
    protocol: Protocol_ = "specific"
    seeds: tuple[int, ...]
    cells: tuple[str, ...]
    """Hashes of its cells, one per seed."""
    controls: dict[str, tuple[str, ...]]
    """Control → hashes of its cells."""
    idle: dict[str, int] = {}
    """Control → in how many seeds nothing was edited, because no size was chosen; those of the edit under ""."""
    numbers: tuple[Beyond, ...]


class Comparisons(Record):
    """`beyond.json`: every edit of a run that was set against controls."""

    compared: tuple[Compared, ...]
