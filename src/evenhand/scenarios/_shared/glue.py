"""GLUE's tables of two texts and a label, as they are distributed, asked as lm-eval asks them.

A table has a header line and cells separated by tabs, in which a quotation mark is a letter like any other; lines may
end in CR LF and the file begin with a byte order mark. Only sets with labels can be scored, not GLUE's test sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import Source, read_table

ENTAILMENT: Mapping[str, int] = {"entailment": 0, "not_entailment": 1}
"""The labels of its tasks about what follows from what, as `Task.labels`."""
_GLUE = (
    'A. Wang et al., "GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language Understanding", ICLR 2019'
)


@dataclass(frozen=True, slots=True)
class Task:
    """What is one task's own: its table, the columns read of it, how a row is asked, whom to thank."""

    name: str
    columns: tuple[str, str, str]
    """The two texts, in the order of the prompt, and the label."""
    prompt: str
    """With {0} and {1} for the texts."""
    options: tuple[str, str]
    labels: Mapping[str, int]
    """Label → index of the option that is right."""
    licence: str
    paper: str
    """Cited beside GLUE."""
    files: tuple[str, ...] = ("dev.tsv",)
    """Tables of this form in the task's folder; the first that is there is read."""
    positive: int | None = None
    """The option whose F1 GLUE counts beside the accuracy; None where it counts no F1."""

    @property
    def source(self) -> Source:
        """Where its tables are and whom to thank."""
        instead = "".join(f", or {self.name.upper()}/{file}" for file in self.files[1:])
        return Source(
            folder="glue",
            licence=self.licence,
            citation=f"{_GLUE}; {self.paper}",
            origin=f"https://gluebenchmark.com/tasks: no copy may be passed on, so put it there yourself{instead}; a "
            "header line, cells separated by tabs, no quotation marks around them; GLUE's test set has no labels",
        )


def glue(task: Task, data: Path | None) -> Scenario:
    """Return the rows of the task's table; raises CannotRun where it is absent or damaged."""
    tables = [f"{task.name.upper()}/{file}" for file in task.files]
    file = next((each for each in tables if data is not None and (data / "glue" / each).is_file()), tables[0])
    rows = read_table(data, task.source, file, task.columns, "\t")
    return Scenario(
        name=task.name,
        cases=tuple(_case(task, f"glue/{file}", number, row) for number, row in enumerate(rows)),
        contexts=(Context(task.name, "choice"),),
        licence=task.licence,
        citation=task.source.citation,
        measures=("accuracy", "option_mass") if task.positive is None else ("accuracy", "f1", "option_mass"),
        source=f"glue/{file}",
    )


def _case(task: Task, file: str, number: int, row: Mapping[str, str]) -> Case:
    first, second, label = (row[column] for column in task.columns)
    if label not in task.labels:
        raise CannotRun(
            f"{file}, row {number}: the label is {label!r}, not one of {', '.join(task.labels)}; use the development "
            "set, the test set has no labels"
        )
    return Case(
        id=str(number),
        prompt=task.prompt.format(first, second),
        context=task.name,
        cluster=str(number),
        options=task.options,
        favourable=task.labels[label],
        facts=() if task.positive is None else (("positive", str(task.positive)),),
    )
