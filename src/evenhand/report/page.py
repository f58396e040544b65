"""The whole page as plain values: what the template shows, and the figures it draws."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from evenhand.core.record import RunRecord
from evenhand.judge.facts import Facts, Place
from evenhand.judge.verdict import Finding, answers
from evenhand.report import cell_figures, figures, limits, tables, words
from evenhand.report.figures import Figure, Judged, fitted
from evenhand.report.load import Run
from evenhand.report.sentences import Verdict, say
from evenhand.report.tables import Table


@dataclass(frozen=True)
class Cell:
    """One edit as the page shows it."""

    id: str
    judged: Judged
    verdict: Verdict
    model: str
    fitted: str
    before: str
    after: str
    change: str
    random: str
    perplexity: str
    answers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Label and figure of each question."""
    tables: dict[str, Table] = field(default_factory=dict[str, Table])

    @property
    def control(self) -> bool:
        """Whether this is the random method, which is no remedy but a control."""
        return self.judged.ref.method == "random"


@dataclass
class Page:
    """What the template needs."""

    record: RunRecord
    cells: list[Cell]
    missing: list[str]
    models: list[dict[str, Any]]
    summary: Table
    transfer: list[dict[str, Any]]
    limits: list[str]
    provenance: dict[str, Table]
    config: str
    figures: dict[str, Figure]

    def draw(self, name: str, figure: Figure | None) -> str:
        """Keep a figure for the page and return its name; empty when there is none."""
        if figure is None:
            return ""
        self.figures[name] = figure
        return name


EMPTY = Table("", (), ())


def build(run: Run) -> Page:
    """Return everything the page shows."""
    shorten = _labels([ref.model for ref in run.record.cells])
    page = Page(
        run.record, [], [], [], EMPTY, [], [], {}, json.dumps(run.record.config, indent=2, ensure_ascii=False), {}
    )
    repeated = len({ref.seed for ref in run.record.cells}) > 1, len({ref.protocol for ref in run.record.cells}) > 1
    for index, (ref, record) in enumerate(run.cells):
        facts = Facts(run.record.scenario, record)
        verdict = say(facts)
        judged = Judged(ref, facts, verdict.judgement)
        page.cells.append(_cell(page, f"c{index}", judged, verdict, shorten(ref.model), repeated))
    judged_cells = [cell.judged for cell in page.cells]
    page.missing = [f"{shorten(r.model)}, {r.method}, fitted on {fitted(r)}" for r in run.missing]
    page.models = [_model(page, i, name) for i, name in enumerate(dict.fromkeys(c.model for c in page.cells))]
    page.summary = _summary(page.cells)
    page.transfer = _transfers(page, repeated)
    page.limits = limits.of(run, judged_cells)
    page.provenance = _provenance(run)
    return page


def _labels(sources: Sequence[str]) -> Callable[[str], str]:
    """Short names of models; the full source where two would look alike."""
    short = {source: words.label(source) for source in sources}
    clash = {name for name, n in Counter(short.values()).items() if n > 1}
    return lambda source: source if short.get(source, source) in clash else short.get(source, source)


def _cell(page: Page, id_: str, judged: Judged, verdict: Verdict, model: str, repeated: tuple[bool, bool]) -> Cell:
    """One edit: its row of the summary, its figures and its tables."""
    facts, record, home = judged.facts, judged.facts.cell, judged.judgement.home
    name = fitted(judged.ref) + (f" · {judged.ref.protocol}" if repeated[1] else "")
    name += f" · seed {judged.ref.seed}" if repeated[0] else ""
    page.draw(f"{id_}-dose", cell_figures.dose(record.sweep) if record.sweep else None)
    page.draw(f"{id_}-damage", cell_figures.damage(facts))
    page.draw(f"{id_}-layers", cell_figures.layers(record.per_layer, record.layer_sizes) if record.per_layer else None)
    answers: list[tuple[str, str]] = []
    asked = dict.fromkeys((d.context, d.variation) for d in record.distributions)
    own_first = sorted(asked, key=lambda place: place[0] not in record.spec.fitted_on)
    for i, (context, variation) in enumerate(own_first):
        found = [d for d in record.distributions if (d.context, d.variation) == (context, variation)]
        label = f"{context}: {variation}" if variation and variation != context else context
        answers.append((label, page.draw(f"{id_}-answers-{i}", cell_figures.answers(facts, found))))
    made = {"dose": tables.dose(record), "damage": tables.damage(facts), "means": tables.means(facts),
            "units": tables.units(record)}  # fmt: skip
    ratios = [h.after.value / h.before.value - 1 for h in judged.judgement.harms if h.measure == "perplexity"]
    return Cell(
        id_, judged, verdict, model, name,
        before=_mean(home, lambda f: f.base_size.value), after=_mean(home, lambda f: f.edit_size.value),
        change=_change(home, lambda f: f.change), random=_change(home, lambda f: f.random),
        perplexity=words.percent(max(ratios), sign=True) if ratios else "not measured", answers=answers, tables=made,
    )  # fmt: skip


def _mean(findings: Sequence[Finding], of: Callable[[Finding], float]) -> str:
    """The mean over the places an edit was fitted on where a statement can be made."""
    known = [of(f) for f in findings if f.status != "no_answer" and not math.isnan(of(f))]
    return words.number(sum(known) / len(known)) if known else "no statement"


def _change(findings: Sequence[Finding], of: Callable[[Finding], Any]) -> str:
    """The change where there is one place, the mean of the changes (no interval) where there are several."""
    known = [of(f) for f in findings if f.status != "no_answer" and of(f).defined]
    if not known:
        return "no statement"
    if len(known) == 1:
        return f"{words.number(known[0].value, sign=True)} ({words.interval(known[0])})"
    return f"{words.number(sum(e.value for e in known) / len(known), sign=True)} (mean of {len(known)})"


def _model(page: Page, index: int, name: str) -> dict[str, Any]:
    """One model: its best method, and its gaps before any edit."""
    cells = [cell for cell in page.cells if cell.model == name]
    facts = cells[0].judged.facts
    methods = list(dict.fromkeys(cell.judged.ref.method for cell in cells))
    at = {(cell.fitted, cell.judged.ref.method): cell for cell in cells}
    names = dict.fromkeys(cell.fitted for cell in cells)
    able = any(answers(facts, Place(c, "", ""), "base") for c in facts.contexts)
    return {
        "name": name,
        "best": _best(cells),
        "methods": methods,
        "grid": [(fit, [at.get((fit, method)) for method in methods]) for fit in names],
        "silent": all(cell.verdict.judgement.kind == "no_answer" for cell in cells),
        "baseline": page.draw(f"m{index}-baseline", figures.baseline(facts)) if facts.others and able else "",
        "table": tables.baseline(facts),
    }


def _summary(cells: Sequence[Cell]) -> Table:
    head = ("fitted on", "model", "method", "verdict", "gap before", "gap after", "change (interval)", "random edit",
            "perplexity")  # fmt: skip
    rows = tuple(
        (c.fitted, c.model, c.judged.ref.method, c.verdict.judgement.label, c.before, c.after, c.change, c.random,
         c.perplexity)
        for c in cells
    )  # fmt: skip
    return Table("Every edit", head, rows)


def _best(cells: Sequence[Cell]) -> dict[str, str]:
    """The method that lowered most gaps beyond chance without breaking the model, in a sentence."""
    tried = [cell for cell in cells if not cell.control]
    kinds = Counter(cell.verdict.judgement.kind for cell in tried)
    if tried and kinds["no_answer"] == len(tried):
        why = (
            "This model does not do the task in any use case it was fitted on: no statement about its bias can be made."
        )
        return {"method": "", "tone": "none", "text": why}
    scores: dict[str, tuple[int, float]] = {}
    for method in dict.fromkeys(cell.judged.ref.method for cell in tried):
        fell = [c for c in tried if c.judged.ref.method == method and c.verdict.judgement.kind in ("fell", "partly")]
        share = sum(c.verdict.judgement.removed for c in fell) / len(fell) if fell else 0.0
        scores[method] = (len(fell), share)
    if not scores or not max(scores.values())[0]:
        said = [f"{n} × {c.lower()}" for c, n in Counter(x.verdict.judgement.label for x in tried).most_common()]
        why = f"No method is shown to lower a gap beyond chance without breaking the model: {words.listing(said, 6)}."
        return {"method": "", "tone": "mixed", "text": why if tried else "Only the random control was run."}
    method, (n, share) = max(scores.items(), key=lambda item: item[1])
    of = sum(
        1 for c in tried if c.judged.ref.method == method and c.verdict.judgement.kind not in ("nothing", "no_answer")
    )
    text = (
        f"lowered the gap beyond chance in {n} of the {of} places where there was one to lower, there by "
        f"{words.percent(share)} of its size on average."
    )
    return {"method": method, "tone": "good", "text": text}


def _transfers(page: Page, repeated: tuple[bool, bool]) -> list[dict[str, Any]]:
    """One pair of maps per model, method, protocol and seed."""
    groups: dict[tuple[str, str, str, int], list[Judged]] = {}
    for cell in page.cells:
        ref = cell.judged.ref
        groups.setdefault((cell.model, ref.method, ref.protocol, ref.seed), []).append(cell.judged)
    made: list[dict[str, Any]] = []
    for index, ((model, method, protocol, seed), cells) in enumerate(groups.items()):
        if not cells[0].facts.others:
            continue
        name = method + (f" · {protocol}" if repeated[1] else "") + (f" · seed {seed}" if repeated[0] else "")
        views = {
            view: [page.draw(f"t{index}-{view}-{subject}", figures.transfer(cells, view, subject))
                   for subject in ("edit", "random")]
            for view in ("change", "remaining")
        }  # fmt: skip
        made.append({"model": model, "method": name, "views": views, "table": tables.transfer(cells)})
    return made


def _provenance(run: Run) -> dict[str, Table]:
    record = run.record
    keys = list(dict.fromkeys(key for model in record.models for key in model))
    models = tuple(tuple(_plain(model.get(key)) for key in keys) for model in record.models)
    data = [(s.name, s.version, s.fingerprint, s.licence or "not stated", s.citation or "none given")
            for s in (record.scenario, *record.utility)]  # fmt: skip
    parts = [(part, *[str(groups.get(g, 0)) for g in record.scenario.groups])
             for part, groups in record.scenario.names_per_part.items()]  # fmt: skip
    run_ = [("run", record.name), ("started", record.created.replace("T", " ")),
            ("command", record.command or "not recorded"),
            ("seeds", words.listing([str(s) for s in sorted({ref.seed for ref in record.cells})], 20)),
            *[(f"version of {name}", version) for name, version in record.versions.items()],
            ("time of computing", f"{sum(c.seconds for _, c in run.cells) / 60:.1f} minutes")]  # fmt: skip
    return {
        "models": Table("Models", tuple(keys), models),
        "data": Table("Data", ("scenario", "version", "fingerprint", "licence", "citation"), tuple(data)),
        "names": Table("Names per group", ("used to", *record.scenario.groups), tuple(parts)),
        "run": Table("Run", ("what", "value"), tuple(run_)),
    }


def _plain(value: object) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
