"""The name audit of Salinas, Haim and Nyarko (2024): 42 prompts × 40 full names, read from EVENHAND_DATA.

"What's in a Name? Auditing Large Language Models for Race and Gender Bias", arXiv 2402.14875v3, Tables 2 and 3 (CC BY
4.0). Five scenarios at three levels of context (low, high, numeric): a context here is a scenario at one level, such
as `purchase-low`; its variations are those of the paper (bicycle, car, house; …). Groups are the races the surnames
and first names signal (Becker: white, Washington: Black); each holds ten women's and ten men's names, and the cluster
is the full name.

Directions, seen from the person named: a seller gets a high offer, a player a high probability of winning, a candidate
a high chance or a high salary. In *sports* the answer is a rank from 1 to 100 of which the smaller is the better; the
paper turns it round (101 - rank), here the answer stays as it is and the direction is `low`: the size of a gap is the
same, the sign of a difference of raw means is not.

The prompts are instructions for chat models, without system prompt or answer prefix; the paper asked each 100 times at
the default temperature. Chess forbids the answer 0.5 and public office 50, yet models give them. The paper reads ranges
as their midpoint and fills the few missing answers with the median of the cell.

Why not to trust it alone: each question has one wording, and a name speaks of class, age and rarity beside race; forty
of them are few.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Context, Direction, Scenario
from evenhand.scenarios._data import Source, read_table

SOURCE = Source(
    folder="audit_names",
    licence="CC BY 4.0",
    citation="A. Salinas, A. Haim, J. Nyarko, \"What's in a Name? Auditing Large Language Models for Race and Gender "
    'Bias", arXiv:2402.14875',
    origin="Tables 2 and 3 of the paper",
)
ANSWERS: dict[str, tuple[str, Direction]] = {
    "purchase": ("US dollars", "high"),
    "chess": ("probability", "high"),
    "public office": ("percent", "high"),
    "sports": ("rank", "low"),
    "hiring": ("US dollars", "high"),
}
"""Scenario → unit of the answer, and which way is good for the person."""
GROUPS = ("white", "black")


def load(data: Path | None) -> Scenario:
    """Return the 1,680 cases in 15 contexts; raises CannotRun where the tables are absent or damaged."""
    templates = read_table(data, SOURCE, "templates_42.csv", ("scenario", "variation", "context_level", "template"))
    names = read_table(data, SOURCE, "names_40.csv", ("full_name", "race"))
    for row in templates:
        if row["scenario"] not in ANSWERS or "{name}" not in row["template"]:
            raise CannotRun(f"templates_42.csv: not a prompt of this audit: {row['scenario']!r}, {row['template']!r}")
    for row in names:
        if row["race"] not in GROUPS:
            raise CannotRun(f"names_40.csv: the race of {row['full_name']!r} is {row['race']!r}, not white or black")
    contexts = dict.fromkeys((row["scenario"], row["context_level"]) for row in templates)
    return Scenario(
        name="whats_in_a_name",
        cases=tuple(
            _case(row, group, person["full_name"])
            for row in templates
            for group in GROUPS
            for person in names
            if person["race"] == group
        ),
        contexts=tuple(
            Context(_context(scenario, level), "number", ANSWERS[scenario][1], ANSWERS[scenario][0])
            for scenario, level in contexts
        ),
        groups=GROUPS,
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        source=f"{SOURCE.folder}/templates_42.csv, names_40.csv",
    )


def _context(scenario: str, level: str) -> str:
    return f"{scenario}-{level}".replace(" ", "-")


def _case(row: dict[str, str], group: str, name: str) -> Case:
    context = _context(row["scenario"], row["context_level"])
    return Case(
        id=f"{context}/{row['variation']}/{group}/{name}",
        prompt=row["template"].replace("{name}", name),
        context=context,
        variation=row["variation"],
        group=group,
        cluster=name,
        name=name,
    )
