"""What is written about edits set against their controls: what each changed over all seeds, and beyond each control."""

from __future__ import annotations

import math
from typing import Any

from evenhand.core.estimate import Estimate, Number
from evenhand.core.frozen import Record
from evenhand.core.record import Protocol_


class Beyond(Record):
    """One number in one place: what the edit changed there, and how much more than each control."""

    measure: str
    key: str
    context: str
    groups: tuple[str, ...] = ()
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
    """p corrected (Benjamini–Hochberg) over all edits of the method and all places of this measure and key."""


class Compared(Record):
    """One method, fitted in one place under several seeds, against its controls fitted in the same way."""

    model: dict[str, Any]
    method: str
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
    numbers: tuple[Beyond, ...]


class Comparisons(Record):
    """`beyond.json`: every edit of a run that was set against controls."""

    compared: tuple[Compared, ...]
