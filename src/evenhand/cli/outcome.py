"""What a run came to, in the words of the one verdict: lines while it runs, a table, JSON, what to do next."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.core.errors import EvenhandError

if TYPE_CHECKING:
    from evenhand.core.estimate import Estimate
    from evenhand.core.record import CellRecord, CellSpec
    from evenhand.judge.facts import Facts
    from evenhand.judge.verdict import Finding, Judgement
    from evenhand.study.config import ModelConfig
    from evenhand.study.engine import NotRun


def summary(folder: Path, record: CellRecord) -> str:
    """Return one line: the cell, the chosen size, the verdict, and the gap where the verdict is about."""
    facts, judgement = _judged(folder, [record])[0]
    units = f"{facts.size_edited} {facts.noun if facts.size_edited != 1 else facts.noun.removesuffix('s')}"
    gaps = [f"|gap| in {f.place.label} {f.base_size.value:.2g} → {f.edit_size.value:.2g}" for f in judgement.home
            if f.edit_size.defined]  # fmt: skip
    return "; ".join([f"{record.spec.method} on {record.spec.fitted}: {units}, {judgement.label.lower()}", *gaps])


def tell(
    folder: Path, records: list[CellRecord], not_run: list[NotRun], export: Path | None, json_: bool
) -> None:  # fmt: skip
    """Write the report, bake the best edit if asked, and print it all."""
    from evenhand.cli.screen import document
    from evenhand.report import render

    judged = _judged(folder, records)
    page = render(folder) if records else None
    best = _best(judged, _not_offered(folder))
    checkpoint: Path | None = None
    not_baked: EvenhandError | None = None
    if not json_:
        _table(judged)
        for line in _beyond(folder):
            print(line)
        print(f"{'not finished' if not_run else 'finished'}: {folder}")
        if page:
            print(f"report: {page}")
    if export is not None:
        try:
            checkpoint = _bake(folder, best, export)
        except EvenhandError as error:
            not_baked = error
    if json_:
        failed = [_spec(each.spec) | {"reason": str(each.error)} for each in not_run]
        document({"run": str(folder), "report": str(page) if page else None, "cells": [_cell(*each) for each in judged],
                  "best": best.spec.hash if best else None, "checkpoint": str(checkpoint) if checkpoint else None,
                  "beyond_controls": _beyond(folder), "not_run": failed})  # fmt: skip
    elif checkpoint and best:
        print(f"checkpoint: {checkpoint} ({best.spec.method} on {best.spec.fitted})")
    elif best:
        print(f"next: {_export_line(folder, best)}")
    if not_baked:
        raise not_baked


def _beyond(folder: Path) -> list[str]:
    """What edits did beyond their controls, a sentence for each method that has any."""
    from evenhand.judge.beyond import outcomes, sentence
    from evenhand.study.store import read_beyond, read_record

    found = read_beyond(folder)
    return [sentence(each) for each in outcomes(read_record(folder), found.compared)] if found else []


def _not_offered(folder: Path) -> set[str]:
    """Hashes of the cells that are there only for others to be set against, or did nothing beyond those."""
    from evenhand.judge.beyond import unproven
    from evenhand.study.store import read_beyond, read_record

    record, found = read_record(folder), read_beyond(folder)
    return {ref.hash for ref in record.cells if ref.control} | unproven(record, found.compared if found else ())


def _export_line(folder: Path, best: CellRecord) -> str:
    """The command that bakes an edit."""
    model = _model(folder, best)
    more = f" --revision {model.revision}" if model.revision else ""
    more += " --trust-remote-code" if model.trust_remote_code else ""
    return f"evenhand export {model.source} {folder / best.edit} OUT{more}"


def _judged(folder: Path, records: Sequence[CellRecord]) -> list[tuple[Facts, Judgement]]:
    """Put each record beside its verdict; the scenario is the one written in the run folder."""
    from evenhand.judge.facts import Facts
    from evenhand.judge.verdict import judge
    from evenhand.study.store import read_record

    scenario = read_record(folder).scenario
    facts = [Facts(scenario, record) for record in records]
    return [(each, judge(each)) for each in facts]


def _best(judged: Sequence[tuple[Facts, Judgement]], left_out: Collection[str] = ()) -> CellRecord | None:
    """The saved edit that a checkpoint can hold and that removed the largest share of a gap.

    Beyond chance, and without breaking the model; none of the cells left out.
    """
    fell = [
        (judgement.kind == "fell", judgement.removed, facts.cell)
        for facts, judgement in judged
        if judgement.kind in ("fell", "partly")
        and facts.cell.edit
        and not facts.cell.run_time_only
        and facts.cell.spec.method != "random"
        and facts.cell.spec.hash not in left_out
        and all(harm.severity < 2 for harm in judgement.harms)
        and all(finding.status != "broken" for finding in judgement.away)
    ]
    return max(fell, key=lambda each: each[:2])[2] if fell else None


def _bake(folder: Path, best: CellRecord | None, out: Path) -> Path | None:
    from evenhand.cli.screen import notify
    from evenhand.export.checkpoint import export
    from evenhand.study.models import open_model

    if best is None:
        notify(
            "no checkpoint: no edit that weights can hold is shown to lower a gap beyond chance without breaking the "
            "model"
        )
        return None
    config = _model(folder, best).model_copy(update={"dtype": "auto", "device_map": None})
    return export(open_model(config, notify), folder / best.edit, out).folder


def _model(folder: Path, record: CellRecord) -> ModelConfig:
    """How the study names the model of a cell."""
    from evenhand.study.config import ModelConfig
    from evenhand.study.store import read_record

    run = read_record(folder)
    return ModelConfig(**run.config["models"][run.models.index(record.spec.model)])


def _table(judged: Sequence[tuple[Facts, Judgement]]) -> None:
    from evenhand.cli.screen import table
    from evenhand.judge.goal import aimed, goal_name

    specs = [facts.cell.spec for facts, _ in judged]
    told = [name for name in ("model", "protocol", "seed") if len({_which(spec, name) for spec in specs}) > 1]
    head = [*told, "method", "fitted on", "measured on", "group", "units", "|gap| before", "after", "change",
            "random edit's change", "finding"]  # fmt: skip
    found = [(facts, judgement, f) for facts, judgement in judged for f in (*judgement.home, *judgement.away)]
    # A study with a goal may be of a scenario that has no gap at all; its table would be rows of dashes.
    gaps = found if any(f.base_size.defined or not goal_name(facts) for facts, _, f in found) else []
    body = [
        [*(_which(facts.cell.spec, name) for name in told), facts.cell.spec.method, facts.cell.spec.fitted,
         f"{'*' if f in judgement.home else ''}{f.place.label}",
         f.place.other, str(facts.size_edited), *map(_number, (f.base_size, f.edit_size, f.change, f.random)), f.words]
        for facts, judgement, f in gaps
    ]  # fmt: skip
    if body:
        table("Mean absolute gap (sd) on names kept for the report; * is what the verdict is about", head, body)
    goals = [
        [*(_which(facts.cell.spec, name) for name in told), facts.cell.spec.method, each.context, goal_name(facts),
         str(facts.size_edited), *map(_number, (each.base, each.edit, each.change, each.random)), each.status]
        for facts, _ in judged for each in aimed(facts)
    ]  # fmt: skip
    if goals:
        head = [*told, "method", "fitted on", "goal", "units", "before", "after", "change", "random edit's change",
                "finding"]  # fmt: skip
        table("The goal on what was kept for the report", head, goals)


def _which(spec: CellSpec, name: str) -> str:
    if name != "model":
        return str(getattr(spec, name))
    return f"{spec.model['source']} {spec.model['dtype']}{' chat' if spec.model['chat'] else ''}"


def _number(estimate: Estimate) -> str:
    return str(estimate) if estimate.defined else "–"


def _spec(spec: CellSpec) -> dict[str, Any]:
    return {"hash": spec.hash, "model": spec.model, "method": spec.method, "protocol": spec.protocol,
            "fitted_on": spec.fitted_on, "fitted_to": spec.fitted_to, "seed": spec.seed,
            "variations": spec.variations}  # fmt: skip


def _cell(facts: Facts, judgement: Judgement) -> dict[str, Any]:
    def finding(f: Finding) -> dict[str, Any]:
        numbers = {"before": f.base_size, "after": f.edit_size, "change": f.change, "random": f.random}
        return {"context": f.place.context, "variation": f.place.variation,
                "groups": [facts.reference, f.place.other], "judged": f in judgement.home, "finding": f.status,
                **{name: each.model_dump(mode="json") for name, each in numbers.items()}}  # fmt: skip

    return _spec(facts.cell.spec) | {
        "edit": facts.cell.edit, "units": facts.size_edited, "verdict": judgement.kind, "removed": judgement.removed,
        "notes": facts.cell.notes, "transfer": [finding(f) for f in (*judgement.home, *judgement.away)],
    }  # fmt: skip
