"""Where the single weights of an edit crowd: matrices, and in them rows and columns."""

from __future__ import annotations

import math

import torch
from jaxtyping import Int
from torch import Tensor

from evenhand.core.component import Selection, Site
from evenhand.core.explained import MatrixRecord
from evenhand.lm.family import writer_inputs
from evenhand.lm.model import LM

TOP = 5


def matrices(lm: LM, selection: Selection) -> list[MatrixRecord]:
    """Return one record for each matrix that has selected weights; the selection is of the space `weight`."""
    return [_matrix(lm, site, entries) for site, entries in selection.by_site()]


def _matrix(lm: LM, site: Site, entries: Int[Tensor, " k"]) -> MatrixRecord:
    columns = writer_inputs(lm.module(site.path))
    in_rows = torch.bincount(entries // columns, minlength=site.units // columns)
    in_columns = torch.bincount(entries % columns, minlength=columns)
    return MatrixRecord(
        path=site.path, layer=site.layer, stack=site.stack, rows=len(in_rows), columns=columns, entries=len(entries),
        rows_hit=int((in_rows > 0).sum()), columns_hit=int((in_columns > 0).sum()),
        top_rows=_fullest(in_rows), top_columns=_fullest(in_columns),
        crowded_columns=_crowded(in_columns), crowded_rows=_crowded(in_rows),
    )  # fmt: skip


def _fullest(counts: Int[Tensor, " n"]) -> tuple[tuple[int, int], ...]:
    """The places with most, first the fullest; ties by place."""
    order = torch.argsort(counts, descending=True, stable=True)[:TOP]
    return tuple((int(place), int(counts[place])) for place in order if counts[place])


def _crowded(counts: Int[Tensor, " n"]) -> float:
    """Share of all that the fullest 1 % of the places hold, at least one place."""
    most = max(1, math.floor(0.01 * len(counts)))
    return float(counts.sort(descending=True).values[:most].sum() / counts.sum())
