"""Measure one model as it is: the gaps of a scenario, in every context."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evenhand import find
from evenhand.core.bootstrap import Bootstrap
from evenhand.core.errors import UsageError
from evenhand.core.measure import Subject
from evenhand.core.measuring import measure
from evenhand.core.progress import Progress, silent
from evenhand.core.record import Row
from evenhand.core.scenario import Scenario
from evenhand.lm.model import LM
from evenhand.lm.read import Reading, read
from evenhand.study.config import StudyConfig

MEASURES: tuple[str, ...] = StudyConfig.model_fields["measures"].default


def audit(
    lm: LM, scenario: Scenario, reading: Reading, bootstrap: Bootstrap, progress: Progress = silent,
    measures: Sequence[str] = MEASURES,
) -> list[Row]:  # fmt: skip
    """Return the measures of the model on a scenario, all names together."""
    built = {name: find.build("measures", name) for name in measures}
    readouts = read(lm, scenario, reading, progress)
    return [row for readout in readouts for row in measure(built, Subject("base", readout), bootstrap)]


def check_compares(scenario: Scenario) -> None:
    """Raise UsageError for a scenario without a gap: no groups, or nothing but running text."""
    outcomes = {context.outcome for context in scenario.contexts}
    if len(scenario.groups) < 2 or outcomes == {"sentence"}:
        alone = (*scenario.measures, "perplexity" if outcomes == {"sentence"} else "accuracy")[0]
        raise UsageError(
            f"scenario {scenario.name!r} compares no groups, so it has no gap to audit: ask for what it measures by "
            f"itself (--measure {alone}), give it to `evenhand run` as utility, or audit a scenario with groups, such "
            "as name_audit"
        )


def by_context(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Yield the rows of each context."""
    for context in dict.fromkeys(row.context for row in rows):
        yield context, [row for row in rows if row.context == context]
