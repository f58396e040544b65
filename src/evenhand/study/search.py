"""Fit a method on the fit part and choose how many units its edit has on the choose part."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evenhand import find
from evenhand.core.contracts import Method
from evenhand.core.edit import Edit
from evenhand.core.errors import CannotRun
from evenhand.core.plugin import returned
from evenhand.core.record import CellSpec, SweepPoint
from evenhand.core.scenario import Scenario
from evenhand.core.trained import TrainingRecord
from evenhand.lm.model import LM
from evenhand.study.bench import Bench
from evenhand.study.config import Sizes
from evenhand.study.readings import labelled, narrow, read_edits, selection_of, within_layers
from evenhand.study.sweep import Aim, Candidate, choose, dose_of, resolve, rule, short, sweep, taken


@dataclass(frozen=True)
class Found:
    """The chosen edit (None: the unedited model was kept), its random control, and how the size was chosen."""

    points: tuple[SweepPoint, ...]
    edit: Edit | None
    random: Edit | None
    rule: str
    notes: tuple[str, ...] = ()
    order: dict[int, int] = field(default_factory=dict[int, int])
    """Unit address → place of the smallest candidate that holds it."""
    training: TrainingRecord | None = None
    """The training that the candidates come from."""


def method_of(spec: CellSpec) -> Method:
    """Return the cell's method with its settings."""
    method: Method = find.build("methods", spec.method, spec.settings)
    return method


def search(bench: Bench, spec: CellSpec) -> Found:
    """Return the edit that a cell reports on.

    With sizes, all candidates and a random control of each are read on the choose part in one go, and the rule of
    `sweep.choose` takes one. With `paper` the method's own size is taken and only measured there.
    """
    sizes = _sizes(spec)
    with heard(bench.lm, f"{Path(spec.method).stem}: ") as told:
        asked, fitted = _fit(bench, spec, sizes)
    doses, edits = taken(asked, fitted)
    randoms = [edit.control(int(spec.hash[:12], 16)) for edit in edits]
    goal = bench.config.goal
    points = sweep(
        *_candidates(bench, spec, edits, randoms, doses),
        Aim(bench.bootstrap(spec), bench.config.measure_settings, goal),
    )
    if not edits:
        best, note, said = 0, "", "No size could be tried: nothing was trained, so the unedited model was kept."
    elif sizes == "paper":
        best, note, said = 1, "", "The method's own size (its thresholds); nothing was chosen."
    else:
        best, note = choose(points, bench.config.budget, goal)
        kept = (
            bench.config.split.by if len(bench.scenario.groups) > 1 or bench.config.split.by != "name" else "question"
        )
        said = rule(bench.config.budget, kept, goal)
    points[best] = points[best].model_copy(update={"chosen": True})
    notes = [*([note] if note else []), *dict.fromkeys(told), *short(asked, fitted)]
    if spec.run["layers"] is not None:
        kept = ", ".join(map(str, spec.run["layers"]))
        notes.append(f"Of each candidate only the units in layers {kept} were kept; sizes are counted after that.")
    if any(random is None for random in randoms):
        notes.append("There is no random edit of the same size for edits of this kind, so none stands beside it.")
    edit, random = (edits[best - 1], randoms[best - 1]) if best else (None, None)
    if edit is not None and (found := selection_of(edit)) is not None and not len(found):
        edit, random = None, None
        notes.append("The method selected no unit, so the unedited model was kept.")
    training = next((each.trained.training for each in fitted if each.trained is not None), None)
    return Found(tuple(points), edit, random, said, tuple(notes), _order(edits), training)


@contextmanager
def heard(lm: LM, beginning: str) -> Generator[list[str]]:
    """Keep the lines with this beginning that `lm.notify` is told meanwhile; it is told them all the same.

    What a method says of its choice begins with its name; other lines (memory that ran out) are not of the edit.
    """
    lines: list[str] = []
    tell = lm.notify

    def both(line: str) -> None:
        if line.startswith(beginning):
            lines.append(line)
        tell(line)

    lm.notify = both
    try:
        yield lines
    finally:
        lm.notify = tell


def _order(edits: Sequence[Edit]) -> dict[int, int]:
    first: dict[int, int] = {}
    for place, edit in enumerate(edits):
        selection = selection_of(edit)
        if selection is None or selection.layout.space == "weight":  # too many to be told one by one
            continue
        for unit in selection.units:
            first.setdefault(int(unit), place)
    return first


def _sizes(spec: CellSpec) -> Sizes:
    written: Any = spec.run["sizes"]
    return written if isinstance(written, str) else tuple(written)  # pyright: ignore[reportReturnType]


def _fit(bench: Bench, spec: CellSpec, sizes: Sizes) -> tuple[tuple[int, ...], list[Edit]]:
    """Candidate edits from the fit part, smallest first, and their doses; no doses where they are sized by units."""
    bench.progress(f"fit {spec.method}", 0, 1)
    method = method_of(spec)
    dose = dose_of(method)
    bias = bench.part(bench.scenario, "fit", spec.seed).only(spec.fitted_on, spec.variations)
    utility = _texts(bench.part(bench.utility, "fit", spec.seed))
    most = bench.lm.layout(method.space).size if method.space is not None else dose.most if dose is not None else 0
    counts = () if sizes == "paper" else resolve(sizes, most, dose)
    with (
        bench.lm.reporting(labelled(bench.progress, f"fit {spec.method}")),
        bench.lm.keeping(bench.store.workplace(spec)),
    ):
        if sizes == "paper":
            edits = [returned(method.fit(bench.lm, bias, utility), Edit, method, "fit")]
        else:
            edits = [returned(e, Edit, method, "path") for e in method.path(bench.lm, bias, utility, counts)]
    if counts and len(edits) != len(counts):
        raise CannotRun(f"method {spec.method!r} returned {len(edits)} edits for {len(counts)} sizes")
    bench.progress(f"fit {spec.method}", 1, 1)
    layers = spec.run["layers"]
    doses = () if dose is None else counts or (dose.own,)
    return doses, edits if layers is None else [within_layers(edit, layers, bench.lm) for edit in edits]


def _texts(utility: Scenario) -> Scenario:
    """The running texts of a utility scenario: what methods are told to leave alone."""
    running = {context.name for context in utility.contexts if context.outcome == "sentence"}
    return utility.only(running)


def _candidates(
    bench: Bench, spec: CellSpec, edits: Sequence[Edit], randoms: Sequence[Edit | None], doses: Sequence[int]
) -> tuple[Candidate, list[Candidate]]:
    """The unedited model and every candidate on the choose part: fitted-on contexts, and the utility texts."""
    choose_part = bench.part(bench.scenario, "choose", spec.seed).only(spec.fitted_on, spec.variations)
    texts = _texts(bench.part(bench.utility, "choose", spec.seed))
    base = Candidate(
        units=0,
        share=0.0,
        bias=narrow(bench.base(spec, bench.scenario, "choose"), choose_part),
        random=None,
        texts=narrow(bench.base(spec, bench.utility, "choose"), texts),
    )
    both = [*edits, *(random for random in randoms if random is not None)]
    reading = bench.reading(spec)
    bias = read_edits(bench.lm, choose_part, both, reading, labelled(bench.progress, "candidate sizes"))
    general = read_edits(bench.lm, texts, edits, reading, labelled(bench.progress, "candidate sizes"))
    controls = iter(bias[len(edits) :])
    found: list[Candidate] = []
    for i, (edit, random, said, beside) in enumerate(zip(edits, randoms, bias, general, strict=False)):
        selection = selection_of(edit)
        found.append(
            Candidate(
                units=len(selection) if selection is not None else doses[i] if doses else 0,
                share=selection.share if selection is not None else math.nan,
                bias=said,
                random=next(controls) if random is not None else None,
                texts=beside,
            )
        )
    return base, found
