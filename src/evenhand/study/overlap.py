"""What saved edits and saved scores have in common: those of a run, or any that are named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from evenhand.core.component import Attribution, Layout, Selection
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.explained import Overlap, Shared
from evenhand.core.overlap import compared, rank_correlation
from evenhand.core.record import CellRecord
from evenhand.core.select import top
from evenhand.edits._file import load
from evenhand.edits.scale import Scale
from evenhand.study.explanation import parts


@dataclass(frozen=True, eq=False)
class Known:
    """The units of one edit, or the scores of all units, under a name."""

    name: str
    model: str
    """What pins its model: units of others cannot be shared."""
    selection: Selection | None = None
    scores: Attribution | None = None


def overlap(known: Sequence[Known]) -> Overlap:
    """Return what every two of these have in common.

    Scores beside an edit stand for as many of their highest units as the edit has; two scores have a rank correlation.
    Pairs of different models or spaces are left out, because they have nothing to share.
    """
    pairs: list[Shared] = []
    correlations: list[tuple[int, int, float]] = []
    for (i, a), (j, b) in combinations(enumerate(known), 2):
        if a.model != b.model or _layout(a) != _layout(b) or _layout(a) is None:
            continue
        if a.scores is not None and b.scores is not None:
            correlations.append((i, j, rank_correlation(a.scores, b.scores)))
        elif (sides := _sides(a, b)) is not None:
            both, jaccard, chance = compared(*sides)
            pairs.append(Shared(a=i, b=j, both=both, jaccard=jaccard, chance=chance.jaccard, p=chance.p))
    return Overlap(
        edits=tuple(each.name for each in known),
        sizes=tuple(0 if each.selection is None else len(each.selection) for each in known),
        spaces=tuple(found.space if (found := _layout(each)) is not None else "" for each in known),
        pairs=tuple(pairs), correlations=tuple(correlations),
    )  # fmt: skip


def _layout(each: Known) -> Layout | None:
    found = each.scores if each.scores is not None else each.selection
    return found.layout if found is not None else None


def _sides(a: Known, b: Known) -> tuple[Selection, Selection] | None:
    """Two selections to compare; scores become their highest units, as many as the other one has."""
    if a.selection is not None and b.selection is not None:
        return a.selection, b.selection
    if a.scores is not None and b.selection is not None:
        return top(a.scores, count=len(b.selection)), b.selection
    if a.selection is not None and b.scores is not None:
        return a.selection, top(b.scores, count=len(a.selection))
    return None


def of_edit(name: str, folder: Path) -> Known:
    """Read the units of a saved edit: none, where it is no set of units, or of units of several spaces."""
    saved = load(folder)
    model = _pinned(saved.model)
    scaled = [part.selection for part in parts(saved.unchecked) if isinstance(part, Scale)]
    if not scaled or any(each.layout != scaled[0].layout for each in scaled):
        return Known(name, model)
    units = scaled[0]
    for each in scaled[1:]:
        units = units | each
    return Known(name, model, units)


def of_scores(name: str, path: Path) -> Known:
    """Read what `evenhand locate --out` wrote; raises UsageError when it is something else."""
    try:
        opened: Any = safe_open(path, "pt")
        with opened as file:
            header: dict[str, str] = file.metadata() or {}
            about: dict[str, Any] = json.loads(header["about"])
            found = Attribution(Layout.from_json(json.loads(header["layout"])), file.get_tensor("scores"))
    except FileNotFoundError as error:
        raise UsageError(f"{path}: there is no such file") from error
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CannotRun(f"{path}: holds no scores ({error}); expected what `evenhand locate --out` wrote") from error
    return Known(name, _pinned(about["model"]), scores=found)


def _pinned(model: dict[str, Any]) -> str:
    return str(model.get("sha256") or model.get("revision") or model.get("source"))


def of_run(folder: Path, cells: Sequence[CellRecord]) -> Overlap:
    """Return what the saved edits of a run share; they are named by their cells' hashes."""
    return overlap([of_edit(cell.spec.hash, folder / cell.edit) for cell in cells if cell.edit])
