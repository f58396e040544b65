"""The whole page as plain values: what the template shows, and the figures it draws."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from evenhand.core.record import CellRef, RunRecord
from evenhand.judge.beyond import unproven
from evenhand.judge.facts import Facts, Place
from evenhand.judge.verdict import answers
from evenhand.report import figures, limits, naming, overview, provenance, tables
from evenhand.report.beyond import Against, against
from evenhand.report.cells import Called, Cell, cell
from evenhand.report.figures import Figure, Judged, fitted, where
from evenhand.report.load import Run
from evenhand.report.naming import Method
from evenhand.report.overlap import Shares, shares
from evenhand.report.sentences import say
from evenhand.report.tables import EMPTY, Table


@dataclass
class Page:
    """What the template needs."""

    record: RunRecord
    fresh: str
    """What the steps of an edit do not share: names, or variations."""
    config: str
    held_out: bool = False
    """Whether some edits are judged where they were not fitted at all."""
    goal: str = ""
    """The measure that sizes were chosen by and edits are judged by; empty: the gap between groups."""
    cells: list[Cell] = field(default_factory=list[Cell])
    missing: list[str] = field(default_factory=list[str])
    models: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    methods: list[Method] = field(default_factory=list[Method])
    luck: str = ""
    summary: Table = EMPTY
    transfer: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    against: Against = field(default_factory=Against)
    shared: Shares = field(default_factory=Shares)
    limits: list[str] = field(default_factory=list[str])
    rules: list[str] = field(default_factory=list[str])
    provenance: dict[str, Table] = field(default_factory=dict[str, Table])
    figures: dict[str, Figure] = field(default_factory=dict[str, Figure])

    def draw(self, name: str, figure: Figure | None) -> str:
        """Keep a figure for the page and return its name; empty when there is none."""
        if figure is None:
            return ""
        self.figures[name] = figure
        return name


@dataclass(frozen=True)
class Repeated:
    """Whether a run has several seeds, or several protocols, so that they must be told."""

    seeds: bool
    protocols: bool

    def told(self, name: str, ref: CellRef) -> str:
        """Return a name with the protocol and seed of a cell where others have other ones."""
        name += f" · {ref.protocol}" if self.protocols else ""
        return name + (f" · seed {ref.seed}" if self.seeds else "")


def build(run: Run) -> Page:
    """Return everything the page shows."""
    record = run.record
    page = Page(record, provenance.fresh(record), json.dumps(record.config, indent=2, ensure_ascii=False))
    model_of, method_of = naming.models(record), naming.methods(record)
    repeated = Repeated(len({r.seed for r in record.cells}) > 1, len({r.protocol for r in record.cells}) > 1)
    goal: dict[str, Any] = record.config.get("goal") or {}
    page.goal = goal.get("measure", "").replace("_", " ")
    page.held_out = any(ref.protocol != "specific" for ref in record.cells)
    weak = unproven(record, run.beyond.compared) if run.beyond else set[str]()
    for index, (ref, found) in enumerate(run.cells):
        facts = Facts(record.scenario, found)
        verdict = say(facts)
        called = Called(
            f"c{index}", model_of(ref, found), method_of(ref, found), repeated.told(fitted(ref, record.scenario), ref),
            repeated.told(where(ref, record.scenario), ref), ref.hash in weak,
        )  # fmt: skip
        page.cells.append(cell(page.draw, called, Judged(ref, facts, verdict.judgement), verdict))
    page.missing = [
        f"{model_of(r, None)}, {method_of(r, None).name}, fitted on {fitted(r, record.scenario)}" for r in run.missing
    ]
    page.methods = list(dict.fromkeys(c.called.method for c in page.cells))
    page.models = [_model(page, i, name) for i, name in enumerate(dict.fromkeys(c.called.model for c in page.cells))]
    page.summary = overview.summary(page.cells, page.goal)
    page.transfer = _transfers(page, repeated)
    if run.beyond is not None:
        page.against = against(page.draw, record, run.beyond.compared, naming.by_identity(record))
    page.shared = _shared(page, run)
    page.luck = overview.luck(page.cells)
    page.limits = limits.of(run, [c.judged for c in page.cells], page.luck)
    page.rules = limits.rules()
    page.provenance = provenance.tables(run)
    return page


def _shared(page: Page, run: Run) -> Shares:
    """Which edits change the same units, model by model, the edits of one method together."""
    if run.overlap is None:
        return Shares()
    place = {hash_: i for i, hash_ in enumerate(run.overlap.edits)}
    cells = [cell for cell in page.cells if cell.judged.ref.hash in place]
    cells.sort(key=lambda cell: page.methods.index(cell.called.method))
    at = [place[cell.judged.ref.hash] for cell in cells]
    names = {i: (cell.called.model, f"{cell.called.method.label}, {cell.called.fitted}")
             for i, cell in zip(at, cells, strict=True)}  # fmt: skip
    return shares(run.overlap, names, {i: cell.judged.ref for i, cell in zip(at, cells, strict=True)})


def _model(page: Page, index: int, name: str) -> dict[str, Any]:
    """One model: its best method, and its gaps before any edit."""
    cells = [cell for cell in page.cells if cell.called.model == name]
    facts = cells[0].judged.facts
    methods = list(dict.fromkeys(cell.called.method for cell in cells if not cell.judged.ref.control))
    at = {(cell.called.where, cell.called.method): cell for cell in cells}
    names = dict.fromkeys(cell.called.where for cell in cells)
    return {
        "name": name,
        "best": overview.best(cells),
        "methods": methods,
        "grid": [(name, [at.get((name, method)) for method in methods]) for name in names],
        "silent": all(cell.verdict.judgement.kind in overview.UNABLE for cell in cells),
        "baseline": page.draw(f"m{index}-baseline", figures.baseline(facts)) if _known(facts) else "",
        "table": tables.baseline(facts),
    }


def _known(facts: Facts) -> bool:
    """Whether the unedited model has a gap anywhere that a statement can be made about."""
    places = [Place(context, "", other) for context in facts.contexts for other in facts.others]
    return any(answers(facts, place, "base") and facts.gap(place, "base").defined for place in places)


def _transfers(page: Page, repeated: Repeated) -> list[dict[str, Any]]:
    """One pair of maps per model, method, protocol and seed."""
    groups: dict[tuple[str, str], list[Judged]] = {}
    for each in page.cells:
        name = repeated.told(each.called.method.label, each.judged.ref)
        groups.setdefault((each.called.model, name), []).append(each.judged)
    return [_maps(page, f"t{i}", of, cells) for i, (of, cells) in enumerate(groups.items()) if _known(cells[0].facts)]


def _maps(page: Page, id_: str, of: tuple[str, str], cells: Sequence[Judged]) -> dict[str, Any]:
    """Both views of one group of edits, each beside that of the random edits."""
    views = {
        view: [page.draw(f"{id_}-{view}-{subject}", figures.transfer(cells, view, subject))
               for subject in ("edit", "random")]
        for view in ("change", "remaining")
    }  # fmt: skip
    return {"model": of[0], "method": of[1], "views": views, "table": tables.transfer(cells)}
