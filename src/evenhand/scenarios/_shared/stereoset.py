"""What the two parts of StereoSet have in common: the source, the four files and what a row becomes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import Source, read_table

SOURCE = Source(
    folder="stereoset",
    licence="CC BY-SA 4.0",
    citation='M. Nadeem, A. Bethke, S. Reddy, "StereoSet: Measuring stereotypical bias in pretrained language models", '
    "ACL 2021",
    origin="https://github.com/moinnadeem/StereoSet (development set)",
)
DOMAINS = ("gender", "profession", "race", "religion")
TEXTS = ("Stereotype Sentence", "Anti-stereotype Sentence", "Unrelated Sentence")
"""Columns in the order of a case's options, which the measure relies on."""


def load_part(data: Path | None, part: str, case: Callable[[str, int, dict[str, str]], Case]) -> Scenario:
    """Return `intrasentence` or `intersentence`: every row of the four files as `case` makes it of domain and number.

    Raises CannotRun where a file is absent or damaged.
    """
    files = {domain: f"{part}_{domain}.csv" for domain in DOMAINS}
    rows = {domain: read_table(data, SOURCE, file, ("Target", "Context", *TEXTS)) for domain, file in files.items()}
    return Scenario(
        name=f"stereoset_{part}",
        cases=tuple(case(domain, i, row) for domain in DOMAINS for i, row in enumerate(rows[domain])),
        contexts=tuple(Context(domain, "pair") for domain in DOMAINS),
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        measures=("stereoset",),
        source=f"{SOURCE.folder}/{part}_*.csv",
    )
