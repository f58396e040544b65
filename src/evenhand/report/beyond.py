"""Edits beside their controls: a sentence for each method, maps of fitted × measured, and all numbers as a table."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from evenhand.core.compared import Beyond, Compared
from evenhand.core.estimate import Estimate
from evenhand.core.record import RunRecord
from evenhand.judge.beyond import Goal, Outcome, goal_of, outcomes, sentence, surpasses, where
from evenhand.judge.facts import shown
from evenhand.report import words
from evenhand.report.figures import Figure, Map, Square, finite, heat_map, loudest, text
from evenhand.report.naming import plain
from evenhand.report.tables import Table

Draw = Callable[[str, Figure | None], str]
THE_EDIT = "The edit"


@dataclass(frozen=True)
class Measured:
    """One measure of the edits of one method: a map for the edits and one for each control."""

    of: str
    measured: str
    maps: list[tuple[str, str]]
    """What did it, and the figure."""
    table: Table


@dataclass(frozen=True)
class Against:
    """Everything about controls that the page shows."""

    sentences: list[str] = field(default_factory=list[str])
    choices: list[Measured] = field(default_factory=list[Measured])


def against(draw: Draw, record: RunRecord, compared: Sequence[Compared], called: Callable[[str], str]) -> Against:
    """Return what edits did beside their controls; nothing where none has any. `called` names a model's source."""
    goal, found = goal_of(record), outcomes(record, compared)
    several = len({str(outcome.model) for outcome in found}) > 1
    page = Against()
    for i, outcome in enumerate(found):
        model = f" on {called(str(outcome.model['source']))}" if several else ""
        page.sentences.append(sentence(outcome) + (f" ({model.strip()})" if model else ""))
        for j, (measure, key) in enumerate(_measured(outcome, goal)):
            page.choices.append(_choice(draw, record, outcome, (measure, key), f"b{i}-{j}", model))
    return page


def _measured(outcome: Outcome, goal: Goal) -> list[tuple[str, str]]:
    """Measures and keys that are known somewhere, the goal first."""
    keys: dict[tuple[str, str], None] = {(goal.measure, goal.key): None}
    for number in outcome.edits[0].numbers:
        if not number.key.endswith(".abs"):
            keys[number.measure, number.key] = None
    known = {(n.measure, n.key) for edit in outcome.edits for n in edit.numbers if n.change.defined}
    return [key for key in keys if key in known]


def _choice(
    draw: Draw, record: RunRecord, outcome: Outcome, of: tuple[str, str], id_: str, model: str
) -> Measured:  # fmt: skip
    columns = list(dict.fromkeys(
        (n.context, n.groups) for edit in outcome.edits for n in edit.numbers if (n.measure, n.key) == of
    ))  # fmt: skip
    if any(len(groups) == 1 for _, groups in columns):  # of each group alone; all together say nothing of transfer
        columns = [(context, groups) for context, groups in columns if len(groups) < 2]
    contexts = {context for context, _ in columns}
    labels = [_label(context, groups, len(contexts) > 1) for context, groups in columns]
    rows = [_fitted(edit) for edit in outcome.edits]
    at = [{(n.context, n.groups): n for n in edit.numbers if (n.measure, n.key) == of} for edit in outcome.edits]
    found = [[cells.get(column) for column in columns] for cells in at]
    frames = [(i, j) for i, line in enumerate(found) for j, n in enumerate(line)
              if n is not None and where(record, outcome.edits[i], n) == "own"]  # fmt: skip
    sides = [THE_EDIT, *outcome.edits[0].controls]
    most = max((abs(e.value) for line in found for n in line if n for e in (n.change, *n.controls.values())
                if e.defined), default=0.0)  # fmt: skip
    maps: list[tuple[str, str]] = []
    for k, side in enumerate(sides):
        grid = [[_square(n, side, rows[i], labels[j]) for j, n in enumerate(line)] for i, line in enumerate(found)]
        alt = f"Change under {side}; rows: fitted to, columns: measured on. {loudest(grid, rows, labels)}"
        maps.append((side, draw(f"{id_}-{k}", heat_map(Map(labels, rows, grid, most or 1.0, frames, alt)))))
    unit = next((n.change.unit for line in found for n in line if n and n.change.unit), "")
    name = of[0].replace("_", " ") + ("" if of[1] == "value" else f", {of[1]}") + (f" ({unit})" if unit else "")
    return Measured(f"{outcome.method}{model}", name, maps, _table(outcome, found, rows, labels))


def _label(context: str, groups: tuple[str, ...], several: bool) -> str:
    who = " – ".join(groups) if len(groups) < 3 else ""
    return ", ".join(part for part in (context if several or not who else "", who) if part)


def _fitted(edit: Compared) -> str:
    """What tells an edit from the others of its method: the values that were varied, else where it was fitted."""
    return ", ".join(plain(value) for value in edit.varied.values()) or " + ".join(edit.fitted_on)


def _square(number: Beyond | None, side: str, row: str, column: str) -> Square:
    head = f"fitted to {text(row, 40)}<br>measured on {text(column, 40)}"
    if number is None:
        return Square(None, "", head)
    own = number.change if side == THE_EDIT else number.controls[side]
    if not own.defined:
        return Square(None, words.UNDEFINED, f"{head}<br>undefined")
    sure = surpasses(number) if side == THE_EDIT else shown(own)
    value = words.number(own.value, digits=_digits(own.value), sign=True)
    hover = [head, f"change {_told(own)}"]
    if side == THE_EDIT:
        hover.append("in each seed: " + ", ".join(_number(run) for run in number.runs))
        hover += [f"more than {html.escape(name)}: {_told(more)}" for name, more in number.more.items()]
        hover.append("beyond every control" if sure else "not shown to be beyond every control")
    return Square(finite(own.value), f"<b>{value}</b>" if sure else f"({value})", "<br>".join(hover))


def _digits(value: float) -> int:
    return 1 if abs(value) >= 10 else 2


def _number(value: float) -> str:
    return words.number(value, _digits(value), sign=True)


def _told(estimate: Estimate) -> str:
    if not estimate.defined:
        return words.UNDEFINED
    ends = "no interval" if math.isnan(estimate.low) else f"{_number(estimate.low)} to {_number(estimate.high)}"
    return f"{_number(estimate.value)} ({ends})"


def _table(
    outcome: Outcome, found: Sequence[Sequence[Beyond | None]], rows: Sequence[str], labels: Sequence[str]
) -> Table:
    controls = list(outcome.edits[0].controls)
    head = ("fitted to", "measured on", "change (interval)", "in each seed", *[f"change, {name}" for name in controls],
            *[f"more than {name}" for name in controls], "q", "beyond all")  # fmt: skip
    body = tuple(
        (rows[i], labels[j], _told(n.change), ", ".join(_number(run) for run in n.runs),
         *(_told(n.controls[name]) for name in controls), *(_told(n.more[name]) for name in controls),
         words.q(n.q), "yes" if surpasses(n) else "no")
        for i, line in enumerate(found) for j, n in enumerate(line) if n is not None
    )  # fmt: skip
    return Table("The maps", head, body)
