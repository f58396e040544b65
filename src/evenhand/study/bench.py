"""What the cells of one model share: the model, the scenarios and their parts, and the unedited model's answers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from evenhand.core.bootstrap import Bootstrap
from evenhand.core.progress import Progress, silent
from evenhand.core.readout import Readout
from evenhand.core.record import CellSpec
from evenhand.core.scenario import Part, Scenario
from evenhand.lm.model import LM
from evenhand.lm.read import Reading, read
from evenhand.study.config import StudyConfig
from evenhand.study.readings import labelled, reading_of
from evenhand.study.store import Store


@dataclass(frozen=True)
class Bench:
    """A model on the table, with all that is measured of it."""

    lm: LM
    config: StudyConfig
    scenario: Scenario
    utility: Scenario
    store: Store
    progress: Progress = silent

    def part(self, scenario: Scenario, part: Part, seed: int) -> Scenario:
        """Return the names, or variations, of one part; of any other scenario than the bench's, the texts."""
        split = self.config.split
        return scenario.part(part, seed, split.shares, split.by if scenario is self.scenario else "name")

    def base(self, spec: CellSpec, scenario: Scenario, part: Part) -> list[Readout]:
        """Return the unedited model's readouts of one part, from the cache where they are."""
        cases = self.part(scenario, part, spec.seed)
        depends = [spec.model, scenario.fingerprint, part, spec.seed, spec.run["split"], spec.run["reading"],
                   spec.run["versions"], spec.run["code"]["evenhand"]]  # fmt: skip
        key = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]
        progress = labelled(self.progress, f"unedited model, {part} part")
        return self.store.readouts(key, cases, lambda: read(self.lm, cases, self.reading(spec), progress))

    def kept(self, spec: CellSpec, scenario: Scenario) -> str:
        """Return the name under which the cache keeps what a cell's edited model says on the report part."""
        return f"{spec.hash}-said-{scenario.fingerprint[:8]}"

    def reading(self, spec: CellSpec) -> Reading:
        """Return how answers are read."""
        return reading_of(self.config.reading, spec.seed)

    def bootstrap(self, spec: CellSpec) -> Bootstrap:
        """Return how intervals are made."""
        chosen = self.config.bootstrap
        return Bootstrap(replicates=chosen.replicates, level=chosen.level, seed=spec.seed)
