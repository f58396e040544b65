"""GLUE's tables of two sentences and a label, as they are distributed, asked as a question with two answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import Source, read_table

_ORIGIN = (
    "https://gluebenchmark.com/tasks: no copy may be passed on, so put it there yourself; a header line, cells "
    "separated by tabs, no quotation marks around them"
)


@dataclass(frozen=True, slots=True)
class Task:
    """One task of GLUE: its table, the columns read of it, and how a row is asked."""

    name: str
    file: str
    columns: tuple[str, str, str]
    """The two texts, in the order of the prompt, and the label."""
    prompt: str
    """With {0} and {1} for the texts."""
    options: tuple[str, str]
    labels: Mapping[str, int]
    """Label → index of the option that is right."""
    licence: str
    citation: str


def glue(task: Task, data: Path | None) -> Scenario:
    """Return the rows of the task's table; raises CannotRun where it is absent or damaged."""
    source = Source(folder="glue", licence=task.licence, citation=task.citation, origin=_ORIGIN)
    rows = read_table(data, source, task.file, task.columns, "\t")
    return Scenario(
        name=task.name,
        cases=tuple(_case(task, number, row) for number, row in enumerate(rows)),
        contexts=(Context(task.name, "choice"),),
        licence=task.licence,
        citation=task.citation,
        measures=("accuracy", "option_mass"),
        source=f"glue/{task.file}",
    )


def _case(task: Task, number: int, row: Mapping[str, str]) -> Case:
    first, second, label = (row[column] for column in task.columns)
    if label not in task.labels:
        raise CannotRun(
            f"glue/{task.file}, row {number}: the label is {label!r}, not one of {', '.join(task.labels)}; use the "
            "development set, the test set has no labels"
        )
    return Case(
        id=str(number),
        prompt=task.prompt.format(first, second),
        context=task.name,
        cluster=str(number),
        options=task.options,
        favourable=task.labels[label],
    )
