"""Edits beside their controls: a sentence for each method, maps of fitted × measured, and all numbers as a table."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from evenhand.core.compared import Beyond, Compared
from evenhand.core.estimate import Estimate
from evenhand.core.record import RunRecord
from evenhand.judge.beyond import Goal, Outcome, goal_of, in_words, outcomes, sentence, surpasses
from evenhand.report import words
from evenhand.report.figures import Figure, Map, Square, finite, heat_map, loudest, text
from evenhand.report.naming import plain
from evenhand.report.tables import Table

Draw = Callable[[str, Figure | None], str]


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
    better: str = ""
    """Which way the goal is to go, in words."""


def against(
    draw: Draw, record: RunRecord, compared: Sequence[Compared], called: Callable[[dict[str, Any]], str]
) -> Against:
    """Return what edits did beside their controls; nothing where none has any. `called` names a model."""
    goal, found = goal_of(record), outcomes(record, compared)
    several = len({str(outcome.model) for outcome in found}) > 1
    page = Against(better=f"Of the {goal.name}, {'less' if goal.better == 'low' else 'more'} is better.")
    for i, outcome in enumerate(found):
        model = f", on {called(outcome.model)}" if several else ""
        page.sentences.append(f"{called(outcome.model)}. {sentence(outcome)}" if several else sentence(outcome))
        for j, key in enumerate(_measured(outcome, goal)):
            page.choices.append(_choice(draw, outcome, key, f"b{i}-{j}", f"{outcome.name}{model}"))
    return page


def _measured(outcome: Outcome, goal: Goal) -> list[tuple[str, str]]:
    """Measures and keys of which enough is known somewhere to tell, the goal first."""
    keys: dict[tuple[str, str], None] = {(goal.measure, goal.key): None}
    for edit in outcome.edits:
        for number in edit.numbers:
            if not number.key.endswith(".abs") and not math.isnan(number.p):
                keys[number.measure, number.key] = None
    known = {(n.measure, n.key) for edit in outcome.edits for n in edit.numbers if n.change.defined}
    return [key for key in keys if key in known]


def _choice(draw: Draw, outcome: Outcome, of: tuple[str, str], id_: str, name: str) -> Measured:
    at = [{(n.context, n.groups): n for n in edit.numbers if (n.measure, n.key) == of} for edit in outcome.edits]
    columns = list(dict.fromkeys(place for cells in at for place in cells))
    contexts = {context for context, _ in columns}
    labels = [_label(context, groups, len(contexts) > 1, len(columns) > 1) for context, groups in columns]
    rows = _rows(outcome.edits)
    found = [[cells.get(column) for column in columns] for cells in at]
    changes = [e.value for line in found for n in line if n for e in (n.change, *n.controls.values()) if e.defined]
    most = max((abs(change) for change in changes), default=0.0) or 1.0
    own = [(i, j) for i, line in enumerate(found) for j, n in enumerate(line) if n is not None and n.where == "own"]
    maps = [("The edits", draw(f"{id_}-edit", _map(rows, labels, [[_edit(n) for n in line] for line in found],
                                                   (most, own))))]  # fmt: skip
    for k, control in enumerate(outcome.edits[0].controls):
        cells = [edit.controls[control] for edit in outcome.edits]
        once = len(set(cells)) == 1 and len(cells) > 1  # it is one and the same for all
        lines = [[_control(n, control) for n in line] for line in (found[:1] if once else found)]
        drawn = _map(["the same for all"] if once else rows, labels, lines, (most, []))
        maps.append((control, draw(f"{id_}-{k}", drawn)))
    unit = next((n.change.unit for line in found for n in line if n and n.change.unit), "")
    told = in_words(*of)
    return Measured(name, f"{told} ({unit})" if unit else told, maps, _table(outcome, found, rows, labels))


def _map(
    rows: Sequence[str], labels: Sequence[str], lines: Sequence[Sequence[Square]],
    drawn: tuple[float, Sequence[tuple[int, int]]],
) -> Figure:  # fmt: skip
    """One map; every square says where it is."""
    grid = [
        [Square(s.z, s.text, f"fitted to {text(rows[i], 40)}<br>measured on {text(labels[j], 40)}<br>{s.hover}")
         for j, s in enumerate(line)]
        for i, line in enumerate(lines)
    ]  # fmt: skip
    alt = f"Change; rows: fitted to, columns: measured on. {loudest(grid, rows, labels)}"
    return heat_map(Map(labels, rows, grid, drawn[0], drawn[1], alt))


def _label(context: str, groups: tuple[str, ...], several: bool, others: bool) -> str:
    who = " – ".join(groups) if len(groups) < 3 else "all groups" if others else ""
    return ", ".join(part for part in (context.replace("_", " ") if several or not who else "", who) if part)


def _rows(edits: Sequence[Compared]) -> list[str]:
    """What tells the edits of a method apart: the values that were varied, and where each was fitted."""
    places = len({(edit.fitted_on, edit.variations, edit.protocol) for edit in edits}) > 1
    names: list[str] = []
    for edit in edits:
        varied = [_setting(key, value) for key, value in edit.varied.items()]
        where = " + ".join(edit.fitted_on) + (f" ({', '.join(edit.variations)})" if edit.variations else "")
        where += "" if edit.protocol == "specific" else f", {edit.protocol}"
        names.append(", ".join([*varied, where] if places or not varied else varied))
    return names


def _setting(key: str, value: object) -> str:
    """Names speak for themselves; numbers and switches need to be told what of."""
    return f"{key} = {plain(value)}" if isinstance(value, int | float | bool | None) else plain(value)


def _edit(number: Beyond | None) -> Square:
    if number is None or not number.change.defined:
        return Square(None, "" if number is None else words.UNDEFINED, "not known")
    lines = [f"change {_told(number.change)}", "in each seed: " + ", ".join(_number(run) for run in number.runs)]
    lines += [f"more than {html.escape(name)}: {_told(more)}" for name, more in number.more.items()]
    sure = surpasses(number)
    lines.append(f"{'' if sure else 'not shown to be '}beyond every control")
    value = _number(number.change.value)
    return Square(finite(number.change.value), f"<b>{value}</b>" if sure else f"({value})", "<br>".join(lines))


def _control(number: Beyond | None, control: str) -> Square:
    if number is None or not number.controls[control].defined:
        return Square(None, "" if number is None else words.UNDEFINED, "not known")
    change = number.controls[control]
    return Square(finite(change.value), _number(change.value), f"change {_told(change)}")


def _number(value: float) -> str:
    return words.number(value, 1 if abs(value) >= 10 else 2, sign=True)


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
