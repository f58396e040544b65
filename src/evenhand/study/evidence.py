"""What was measured of the chosen edit, its random control and the unedited model: rows, edited units, layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from evenhand import find
from evenhand.core.bootstrap import Bootstrap, benjamini_hochberg
from evenhand.core.component import Selection
from evenhand.core.measure import Measure, Subject
from evenhand.core.measuring import measure
from evenhand.core.readout import Readout
from evenhand.core.record import Row
from evenhand.judge.facts import GAP
from evenhand.study.config import StudyConfig

Subjects = Mapping[str, Sequence[Readout]]
"""`base`, `edit` and `random` (where there is one) → a readout per kind of outcome, in the same order."""


BEYOND_CHANCE = (GAP, "perplexity")
"""What is also set against the random edit on the same names: what an edit is for, and what it costs anywhere."""


def measures_of(config: StudyConfig, names: Sequence[str]) -> dict[str, Measure]:
    """Return measures by name, with the study's settings."""
    return {name: find.build("measures", name, config.measure_settings.get(name)) for name in names}


def rows(measures: Mapping[str, Measure], subjects: Subjects, bootstrap: Bootstrap, goal: str = "") -> Iterator[Row]:
    """Yield the levels of every subject, the paired changes of all but `base`, and the edit less the random edit.

    The last of the measures in BEYOND_CHANCE, and of the study's `goal`.
    """
    beyond = {name: each for name, each in measures.items() if name in (*BEYOND_CHANCE, goal)}
    for readouts in zip(*subjects.values(), strict=True):
        by_name = dict(zip(subjects, readouts, strict=True))
        sides = {name: Subject(name, readout, by_name["base"]) for name, readout in by_name.items()}
        for name, side in sides.items():
            yield from measure(measures, side, bootstrap)
            if name != "base":
                yield from measure(measures, side, bootstrap, against=sides["base"])
        if "edit" in sides and "random" in sides:
            yield from measure(beyond, sides["edit"], bootstrap, against=sides["random"])


def corrected(table: Sequence[Row]) -> tuple[Row, ...]:
    """Return the rows with Benjamini–Hochberg q over tables of paired differences; levels have none.

    One table is one question asked everywhere: one measure and key, of the edit or of its control against the unedited
    model or of the edit against its control, over all contexts and groups; single variations are a table of their own.
    """
    done = list(table)
    tables: dict[tuple[str, str, str, str, bool], list[int]] = {}
    for i, row in enumerate(table):
        if row.against:
            tables.setdefault((row.subject, row.against, row.measure, row.key, bool(row.variation)), []).append(i)
    for places in tables.values():
        estimates = benjamini_hochberg([table[i].estimate for i in places])
        for i, estimate in zip(places, estimates, strict=True):
            done[i] = table[i].model_copy(update={"estimate": estimate})
    return tuple(done)


def layer_sizes(selection: Selection) -> dict[str, int]:
    """Return how many units each layer has, keyed as `Selection.per_layer`."""
    sizes: dict[str, int] = {}
    for site in selection.layout.sites:
        key = f"{site.stack}.{site.layer}"
        sizes[key] = sizes.get(key, 0) + site.units
    return sizes
