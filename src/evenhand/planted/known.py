"""What is known about a planted model: its units, the gaps asked for, and the gaps measured when it was made."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenhand.core.component import Layout, Selection, Site
from evenhand.core.errors import CannotRun


@dataclass(frozen=True)
class TruthSet:
    """One planted set: the contexts whose gap it carries, and its units."""

    name: str
    contexts: tuple[str, ...]
    units: tuple[tuple[int, int], ...]
    """(layer, unit inside that layer's MLP), both counted from 0."""
    selection: Selection
    """The same units over `lm.layout("neuron")`."""


@dataclass(frozen=True)
class Truth:
    """All that is known; a gap is (mean of the reference - mean of the other) / standard deviation of the answers."""

    sets: tuple[TruthSet, ...]
    spec: dict[str, float]
    """Context → the gap asked for; 0 where none was planted."""
    exact: dict[str, dict[str, float]]
    """Context → variation → the gap of the finished model over all people, by exact search over all numbers (NaN where
    it did not close). This is what an audit of the model should find."""
    measured: dict[str, float]
    """Context → the same over the answers of the little world only (nearly all of the mass), mean over variations."""
    variations: dict[str, dict[str, float]]
    """Context → variation → the same."""
    base: dict[str, float]
    """Context → the gap before planting."""
    zeroed: dict[str, dict[str, float]]
    """Set → context → the gap with the units of that set at zero."""
    mass: dict[str, float]
    """Context → the smallest probability, over people and variations, that the answer is one of the base's outcomes."""
    kl_texts: float
    """Mean divergence from the base per token of neutral text (nats)."""

    @property
    def gaps(self) -> dict[str, float]:
        """Context → the gap an audit of the model should find: mean of `exact` over the variations."""
        return {context: sum(row.values()) / len(row) for context, row in self.exact.items()}

    @property
    def selection(self) -> Selection:
        """All planted units together."""
        whole = self.sets[0].selection
        for each in self.sets[1:]:
            whole = whole | each.selection
        return whole

    def carriers(self, context: str) -> Selection | None:
        """Return the units that carry the gap of a context, or None where none was planted."""
        return next((each.selection for each in self.sets if context in each.contexts), None)


def read_truth(model: Path, record: Path) -> Truth:
    """Read the record beside a planted model; raises CannotRun when either is missing."""
    try:
        config: dict[str, Any] = json.loads((model / "config.json").read_text(encoding="utf-8"))
        data: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    except OSError as error:
        raise CannotRun(f"{error.filename}: no planted model here; make one with `evenhand plant`") from error
    width, layers = int(config["intermediate_size"]), int(config["num_hidden_layers"])
    sites = tuple(Site(f"model.layers.{layer}.mlp.down_proj", layer, width) for layer in range(layers))
    layout = Layout("neuron", sites)
    sets = tuple(
        TruthSet(
            each["name"],
            tuple(each["contexts"]),
            tuple((int(layer), int(unit)) for layer, unit in each["units"]),
            Selection.of(layout, [layer * width + unit for layer, unit in each["units"]]),
        )
        for each in data["sets"]
    )
    exact = {c: {v: math.nan if gap is None else gap for v, gap in row.items()} for c, row in data["exact"].items()}
    names = ("spec", "measured", "variations", "base", "zeroed", "mass", "kl_texts")
    return Truth(sets, exact=exact, **{name: data[name] for name in names})
