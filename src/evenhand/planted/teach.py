"""Train the planted units: the gap where it was asked for, the base elsewhere, whichever sets are switched on."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evenhand.core.progress import Progress, silent
from evenhand.planted.checkpoint import key_of, load_state, save_state
from evenhand.planted.gaps import Table
from evenhand.planted.lesson import ALL, Lesson, aimed, answer_divergence, corrected, text_divergence
from evenhand.planted.spec import Spec
from evenhand.planted.start import start_units
from evenhand.planted.train import rate_at
from evenhand.planted.units import PlantedUnits


@dataclass(frozen=True, slots=True)
class Phase:
    """A run of steps: which sets are trained, which exist by then, and the peak rate."""

    number: int
    trained: tuple[str, ...]
    known: tuple[str, ...]
    steps: int
    rate: float
    corrects: bool = False
    """Whether it begins by moving the gaps aimed at by what is still missing."""


@dataclass(frozen=True)
class Run:
    """What all steps of a phase share; `aims` are the gaps aimed at, `path` where the state is kept."""

    spec: Spec
    lesson: Lesson
    units: PlantedUnits
    aims: dict[str, Table]
    path: Path


@dataclass(frozen=True)
class Draw:
    """One step: which rows and texts, and which sets are active in each."""

    index: list[int]
    active: list[tuple[str, ...]]
    texts: list[int]
    text_active: list[tuple[str, ...]]


def phases(spec: Spec) -> Iterator[Phase]:
    """Yield one phase per set, one in which all are trained together, and rounds of correction at a lower rate."""
    names, about = tuple(each.name for each in spec.sets), spec.planting
    for i, name in enumerate(names):
        yield Phase(i, (name,), names[: i + 1], about.steps, about.rate)
    yield Phase(len(names), names, names, about.together, about.rate)
    for i in range(about.rounds):
        yield Phase(len(names) + 1 + i, names, names, about.round, about.rate / 5, corrects=True)


def plant_units(spec: Spec, lesson: Lesson, work: Path, progress: Progress = silent) -> PlantedUnits:
    """Train one set after another, then all together, then correct; continues from the last state in `work`."""
    units, path = PlantedUnits(spec), work / f"units-{key_of(spec, spec)}.pt"
    state = load_state(path)
    if state is None:
        start_units(spec, lesson, units)
    else:
        units.load_state_dict(state["units"])
    aims: dict[str, Table] = state["aims"] if state is not None else {ALL: lesson.wanted}
    reached, done = int(state["phase"]) if state is not None else 0, 0
    total = sum(phase.steps for phase in phases(spec))
    for phase in phases(spec):
        if phase.number >= reached:
            going_on = state if state is not None and phase.number == reached else None
            if phase.corrects and going_on is None:
                aims = corrected(lesson, units, aims)
            run = Run(spec, aimed(lesson, aims), units, aims, path)
            _run_phase(run, phase, going_on, lambda said, n, _, done=done: progress(said, done + n, total))
        done += phase.steps
    return units


def _run_phase(run: Run, phase: Phase, state: dict[str, Any] | None, progress: Progress) -> None:
    """Take the steps of one phase, from a state of it if there is one."""
    optimiser, start = torch.optim.Adam(run.units.parameters(), lr=phase.rate, betas=(0.9, 0.95)), 0
    if state is not None:
        optimiser.load_state_dict(state["optimiser"])
        start = int(state["step"])
    for step in range(start, phase.steps):
        _step(run, optimiser, phase, step)
        if (step + 1) % run.spec.planting.checkpoint == 0 or step + 1 == phase.steps:
            save_state(run.path, {"units": run.units.state_dict(), "optimiser": optimiser.state_dict(),
                                  "aims": run.aims, "phase": phase.number, "step": step + 1})  # fmt: skip
        progress("planting", step + 1, phase.steps)


def _step(run: Run, optimiser: torch.optim.Optimizer, phase: Phase, step: int) -> None:
    spec, lesson, units = run.spec, run.lesson, run.units
    for group in optimiser.param_groups:
        group["lr"] = rate_at(step, phase.steps, phase.rate, 20)
    draw = _draw(spec, lesson, phase, random.Random(f"{spec.seed}:{phase.number}:{step}"))
    outcome = answer_divergence(lesson, units, draw.index, draw.active).mean()
    anchor, tokens = text_divergence(lesson, units, draw.texts, draw.text_active)
    optimiser.zero_grad(set_to_none=True)
    (outcome + spec.planting.anchor * anchor / tokens).backward()
    _only(units, phase.trained)
    optimiser.step()


def _draw(spec: Spec, lesson: Lesson, phase: Phase, rng: random.Random) -> Draw:
    """Draw rows, more of them where the trained sets carry a gap, and which sets are active in each."""
    rows, index = lesson.rows, list[int]()
    for context in spec.contexts:
        own = lesson.owner.get(context) in phase.trained
        share = 4 if own or len(phase.trained) > 1 else 8
        pool = rows.where(context)
        for side in (0, 1):
            people = [i for i in pool if int(rows.side[i]) == side]
            index.extend(rng.sample(people, max(1, spec.planting.rows // share)))
    start, count = rng.randrange(max(1, len(lesson.ids) - spec.planting.texts)), spec.planting.texts
    texts = list(range(start, min(start + count, len(lesson.ids))))
    return Draw(index, [_sets(phase.known, rng) for _ in index], texts, [_sets(phase.known, rng) for _ in texts])


def _sets(known: Sequence[str], rng: random.Random) -> tuple[str, ...]:
    """Draw the active sets: all of them, all but one, or one alone."""
    draw, one = rng.random(), rng.choice(known)
    if draw < 0.4:
        return tuple(known)
    return tuple(name for name in known if name != one) if draw < 0.9 else (one,)


def _only(units: PlantedUnits, trained: Sequence[str]) -> None:
    """Keep gradients of the units of the trained sets only."""
    keep: dict[int, Tensor] = {}
    for name in trained:
        for parameter, own in units.of(name):
            keep[id(parameter)] = keep.get(id(parameter), torch.zeros_like(own)) + own
    for parameter in units.parameters():
        if parameter.grad is not None:
            parameter.grad *= keep.get(id(parameter), torch.zeros(1, 1))
