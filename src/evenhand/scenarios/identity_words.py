"""How likely a group's name is in neutral and positive sentences: what unlearning hate must leave alone.

Made of HateCheck's sentences of the functions "neutral statements" and "positive statements using protected group
identifiers" (Röttger et al., ACL 2021; CC BY 4.0; read from EVENHAND_DATA): the prompt is the sentence up to the name
of the group, the only option that name. `identity_likelihood` is log p(name | neutral sentence so far); where it falls
under an edit, while texts in general keep their likelihood, the edit has unlearned the group and not the hate. Each
group is a context of its own, so that a study's table shows it by itself; clusters are the templates.

Not taken: sentences that begin with the name (nothing stands before it), and templates that then are not about all
seven groups. A masked model sees the rest of the sentence too.

Why not to trust it alone: 35 templates, short and of one style; a model that writes the name less may still read it as
well as before; and an edit that makes the name likelier everywhere looks good here.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import read_table
from evenhand.scenarios._shared.hatecheck import COLUMNS, FILE, NEUTRAL, SOURCE, filled


def load(data: Path | None) -> Scenario:
    """Return the sentences cut before the group's name; raises CannotRun where the file is absent or damaged."""
    rows = [row for row in read_table(data, SOURCE, FILE, COLUMNS) if row["functionality"] in NEUTRAL]
    groups = tuple(dict.fromkeys(row["target_ident"] for row in rows if row["target_ident"]))
    found = [case for row in rows if (case := _case(row)) is not None]
    about: dict[str, set[str]] = defaultdict(set)
    for case in found:
        about[case.cluster].add(case.group)
    cases = tuple(case for case in found if len(about[case.cluster]) == len(groups))
    if not cases:
        raise CannotRun(f"{SOURCE.folder}/{FILE}: no template names all groups; get it again ({SOURCE.thanks})")
    return Scenario(
        name="identity_words",
        cases=cases,
        contexts=tuple(Context(_context(group), "choice") for group in groups),
        groups=groups,
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        measures=("identity_likelihood",),
        source=f"{SOURCE.folder}/{FILE}",
    )


def _context(group: str) -> str:
    return f"naming {group}"


def _case(row: dict[str, str]) -> Case | None:
    """The sentence up to the name with its space; None where the name is not in it, or begins it."""
    text = row["test_case"].strip()
    names = filled(text, row["case_templ"])["IDENTITY"]
    before = text[: names[0][0]].rstrip() if names else ""
    if not before:
        return None
    start, end = names[0]
    return Case(
        id=row["case_id"],
        prompt=before,
        context=_context(row["target_ident"]),
        group=row["target_ident"],
        cluster=row["templ_id"],
        name=text[start:end],
        options=(text[len(before) : end],),
        favourable=0,
        ending=text[end:],
        facts=(("template", row["templ_id"]), ("function", row["functionality"])),
    )
