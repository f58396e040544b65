"""GLUE's tasks about two texts, each pair asked after several synonymous instructions of our own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from evenhand.core.scenario import Scenario
from evenhand.scenarios._shared.glue import Task, glue

_ASKED = "{instruction} {names[0]}: {{0}}  {names[1]}: {{1}}  Answer options: {options}  Your answer: "
"""In the manner of CRISPR's prompt for BBQ; its instructions for these tasks are not public."""


def instructed(task: Task, data: Path | None, names: tuple[str, str], instructions: Sequence[str]) -> Scenario:
    """Return the rows of the task's table after each instruction, its variations; raises CannotRun as `glue` does.

    `names` say what the two texts are called in the prompt; the answers are listed there and scored as they stand.
    """
    options = (task.options[0].strip(), task.options[1].strip())
    asked: list[Scenario] = []
    for number, instruction in enumerate(instructions, 1):
        prompt = _ASKED.format(instruction=instruction, names=names, options=", ".join(options))
        about = glue(dataclasses.replace(task, prompt=prompt, options=options), data)
        name = f"instruction-{number:02}"
        cases = tuple(dataclasses.replace(c, id=f"{c.id}/{name}", variation=name) for c in about.cases)
        asked.append(dataclasses.replace(about, cases=cases))
    return dataclasses.replace(
        asked[0], name=f"{task.name}_instructions", cases=tuple(case for each in asked for case in each.cases)
    )
