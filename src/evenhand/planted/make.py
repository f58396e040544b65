"""Make a planted model from its specification: tokenizer, base, planted units, and a record of what was measured."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evenhand.core.progress import Progress, silent
from evenhand.core.scenario import Scenario
from evenhand.lm.load import load
from evenhand.lm.read import Reading
from evenhand.planted.audit import exact_gaps
from evenhand.planted.gaps import averages, gaps_of
from evenhand.planted.lesson import Lesson, lesson_of, text_divergence
from evenhand.planted.spec import Spec, read_spec
from evenhand.planted.tail import answers
from evenhand.planted.teach import plant_units
from evenhand.planted.tokenizer import train_tokenizer
from evenhand.planted.train import train_base
from evenhand.planted.units import PlantedUnits
from evenhand.planted.world import world_of
from evenhand.scenarios._load import load_scenario


@dataclass(frozen=True, slots=True)
class Planted:
    """What `make` made: the model folder, the measured record, and how many minutes this run took."""

    model: Path
    truth: dict[str, Any]
    minutes: float


def make(spec_path: Path, out: Path, progress: Progress = silent) -> Planted:
    """Train a planted model as a specification says, into `out/model` and `out/truth.json`; a killed run goes on.

    The states it goes on from are in `out/work`. The same specification gives the same weights on the same machine and
    number of threads. Raises UsageError for a wrong specification.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    started = time.monotonic()
    spec = read_spec(spec_path)
    world = world_of(spec)
    work = out / "work"
    tokenizer = train_tokenizer(world, spec.seed, spec.vocabulary)
    model = train_base(spec, world, tokenizer, work, progress)
    lesson = lesson_of(spec, world, model, tokenizer)
    units = plant_units(spec, lesson, work, progress)
    truth = measured(spec, lesson, units)
    units.write(model)
    folder = out / "model"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_record(out, truth, load_scenario(spec.scenario))
    return Planted(folder, truth, (time.monotonic() - started) / 60)


def measured(spec: Spec, lesson: Lesson, units: PlantedUnits) -> dict[str, Any]:
    """Return the record of a planted model: units, gaps asked for, gaps measured with all sets and without each."""
    rows, tail = lesson.rows, lesson.tail

    def read(active: tuple[str, ...]) -> Tensor:
        return answers(tail, rows, units, active)

    full = read(units.sets)
    mass = full.exp().sum(-1)
    without = {name: read(tuple(each for each in units.sets if each != name)) for name in units.sets}
    return {
        "sets": [
            {
                "name": each.name,
                "contexts": list(each.gaps),
                "units": [list(place) for place in units.places[each.name]],
            }
            for each in spec.sets
        ],
        "spec": spec.gaps,
        "measured": _rounded(averages(gaps_of(rows, full))),
        "variations": {context: _rounded(row) for context, row in gaps_of(rows, full).items()},
        "base": _rounded(averages(gaps_of(rows, lesson.base))),
        "zeroed": {name: _rounded(averages(gaps_of(rows, logp))) for name, logp in without.items()},
        "mass": {c: round(float(mass[rows.where(c)].min()), 5) for c in dict.fromkeys(rows.context)},
        "kl_texts": round(_text_kl(lesson, units), 6),
    }


@torch.no_grad()
def _text_kl(lesson: Lesson, units: PlantedUnits) -> float:
    """Return the mean KL(base ‖ planted) per token over the anchor texts (nats)."""
    total, tokens = 0.0, 0
    for start in range(0, len(lesson.ids), 64):
        part = list(range(start, min(start + 64, len(lesson.ids))))
        divergence, count = text_divergence(lesson, units, part, [units.sets] * len(part))
        total += float(divergence)
        tokens += count
    return total / tokens


def write_record(out: Path, truth: dict[str, Any], scenario: Scenario) -> None:
    """Read the finished model exactly, and write everything known about it to `out/truth.json`.

    A gap that exact search could not close is written as null.
    """
    table = exact_gaps(load(out / "model"), scenario, Reading(numeric="exact", node_budget=200))
    truth["exact"] = {context: _defined(_rounded(row)) for context, row in table.items()}
    partial = out / "truth.partial"
    partial.write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    partial.replace(out / "truth.json")


def _defined(row: dict[str, float]) -> dict[str, float | None]:
    return {key: None if math.isnan(value) else value for key, value in row.items()}


def _rounded(row: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 4) for key, value in row.items()}
