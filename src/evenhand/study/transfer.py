"""The transfer view of a cell: what an edit fitted somewhere did to the gap everywhere."""

from __future__ import annotations

import math

from evenhand.core.estimate import Estimate
from evenhand.core.record import CellRecord, CellSpec, Record
from evenhand.judge.facts import GAP


class Entry(Record):
    """One square of the transfer matrix."""

    context: str
    groups: tuple[str, ...]
    units: int
    before: Estimate
    """Mean absolute gap of the unedited model (standard deviations)."""
    after: Estimate
    change: Estimate
    """Paired difference after − before."""
    random: Estimate
    """The same under the random edit of the same size."""


def transfer(record: CellRecord, key: str = "value.abs") -> list[Entry]:
    """Return an entry per context and comparison; undefined where the unedited model was kept."""
    table = {
        (row.context, row.groups, row.subject, row.against): row.estimate
        for row in record.rows
        if row.measure == GAP and row.key == key and not row.variation
    }
    none = Estimate(value=math.nan)
    return [
        Entry(
            context=context,
            groups=groups,
            units=next((point.units for point in record.sweep if point.chosen), 0),
            before=before,
            after=table.get((context, groups, "edit", ""), none),
            change=table.get((context, groups, "edit", "base"), none),
            random=table.get((context, groups, "random", "base"), none),
        )
        for (context, groups, subject, against), before in table.items()
        if subject == "base" and not against
    ]


def fitted(spec: CellSpec) -> str:
    """Return what a cell was fitted on, in few words."""
    where = "+".join(spec.fitted_on)
    return f"{where} ({', '.join(spec.variations)})" if spec.variations else where
