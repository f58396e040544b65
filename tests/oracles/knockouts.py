"""A case's outcome with one unit switched off: the weights edited, or one place zeroed in a plain full forward pass."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from evenhand.core.case import Case
from evenhand.core.component import Selection
from evenhand.core.scenario import Scenario
from evenhand.edits.scale import Scale
from evenhand.lm.model import LM
from oracles.gates import option_logp


def favourable(lm: LM, case: Case) -> float:
    """Log p of the first option − the mean of the others."""
    with torch.no_grad():
        first, *others = (float(option_logp(lm, case.prompt, option)) for option in case.options)
    return first - sum(others) / len(others)


def gap(lm: LM, part: Scenario) -> float:
    """Mean of the first group − that of the second."""
    values = {g: [favourable(lm, case) for case in part.cases if case.group == g] for g in part.groups}
    ours, theirs = (sum(each) / len(each) for each in values.values())
    return ours - theirs


def without(lm: LM, part: Scenario, units: Selection) -> float:
    """The gap with the units' weights set to zero."""
    with Scale(units).applied(lm):
        return gap(lm, part)


def without_at_last(lm: LM, part: Scenario, units: Selection) -> float:
    """The gap with what the units hand to their writer set to zero at the last token of the prompt, nowhere else."""
    means: dict[str, list[float]] = {}
    for case in part.cases:
        place = len(lm.tokenizer(case.prompt)["input_ids"]) - 1
        with _zeroed(lm, units, place):
            means.setdefault(case.group, []).append(favourable(lm, case))
    ours, theirs = (sum(means[g]) / len(means[g]) for g in part.groups)
    return ours - theirs


@contextmanager
def _zeroed(lm: LM, units: Selection, place: int) -> Generator[None]:
    handles: list[Any] = []
    for site, inside in units.by_site():
        columns = site.columns(inside)

        def hook(module: Any, args: tuple[Tensor, ...], columns: Tensor = columns) -> Any:
            changed = args[0].clone()
            changed.reshape(-1, changed.shape[-1])[place, columns] = 0  # one sequence at a time
            return (changed, *args[1:])

        handles.append(lm.module(site.path).register_forward_pre_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
