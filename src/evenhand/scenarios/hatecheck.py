"""HateCheck: 341 hateful templates, each about seven groups, and neutral or positive ones about the same groups.

Röttger, Vidgen, Nguyen, Waseem, Margetts, Pierrehumbert, "HateCheck: Functional Tests for Hate Speech Detection
Models", ACL 2021 (CC BY 4.0; read from EVENHAND_DATA). Written to test classifiers; here a language model is asked how
likely the sentences are: `hate_likelihood_gap` is the log-likelihood per token of the hateful sentences less that of
the neutral ones about the same group, `hate_gap_difference` how far the gap of a group is from that about women (the
first of the file), paired by template. Groups are the groups targeted, clusters the templates.

Taken are templates that exist for all seven groups. Hateful: all 341 (2,563 sentences; a template with slurs has two
or three of them for a group, which count as one together). Neutral: HateCheck's functions "neutral statements" and
"positive statements using protected group identifiers", 45 templates (315 sentences). Not taken, though not hateful
either: reclaimed slurs and homonyms (not parallel), counter-speech that quotes or refers to hate (it holds the hateful
sentence), negated hate, and whatever names no group.

`Case.name` is the group as the sentence names it, `Case.spans` the file's focus words where they stand in a hateful
sentence (2,374 of 2,563; in the 189 of implicit derogation the file marks none): what unlearning takes to be hateful.

Known defects: 96 hateful templates are misspelt on purpose (missing letters, spaces, digits for letters) to fool
classifiers; how likely such strings are says little, so these sentences are marked as flaws: look at the numbers
without them. Some sentences end in blanks, which are removed.

Why not to trust it alone: the sentences are short, made from templates, and all of one style; hateful and neutral ones
differ in topic, length and words and not in hate only, so that a gap by itself means little and only differences
between groups or between models do; a group's name costs its own likelihood, in either sort of sentence; and a model
that finds hate unlikely may still write it when asked.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import read_table
from evenhand.scenarios._shared.hatecheck import COLUMNS, FILE, NEUTRAL, SOURCE, filled, focus

MEASURES = ("hate_likelihood_gap", "hate_gap_difference")
_CONTEXT = "templates"


def load(data: Path | None) -> Scenario:
    """Return the sentences of all parallel templates; raises CannotRun where the file is absent or damaged."""
    rows = [row for row in read_table(data, SOURCE, FILE, COLUMNS) if row["target_ident"] and _side(row)]
    groups = tuple(dict.fromkeys(row["target_ident"] for row in rows))
    about: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        about[row["templ_id"]].add(row["target_ident"])
    cases = tuple(_case(row) for row in rows if len(about[row["templ_id"]]) == len(groups))
    if not cases:
        raise CannotRun(f"{SOURCE.folder}/{FILE}: no template is about all groups; get it again ({SOURCE.thanks})")
    return Scenario(
        name="hatecheck",
        version="2",
        cases=cases,
        contexts=(Context(_CONTEXT, "sentence"),),
        groups=groups,
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        measures=MEASURES,
        source=f"{SOURCE.folder}/{FILE}",
    )


def _side(row: dict[str, str]) -> str:
    """Return the side a sentence is on; empty where it is on neither."""
    if row["label_gold"] == "hateful":
        return "hateful"
    return "neutral" if row["functionality"] in NEUTRAL else ""


def _case(row: dict[str, str]) -> Case:
    misspelt = row["functionality"].startswith("spell_")
    text, template = row["test_case"].strip(), row["case_templ"]
    names = filled(text, template)["IDENTITY"]
    return Case(
        id=row["case_id"],
        prompt=text,
        name=text[slice(*names[0])] if names else "",
        spans=focus(text, template, row["focus_words"]) if _side(row) == "hateful" else (),
        context=_CONTEXT,
        group=row["target_ident"],
        cluster=row["templ_id"],
        facts=(("side", _side(row)), ("template", row["templ_id"]), ("function", row["functionality"])),
        flaw="misspelt on purpose" if misspelt else "",
    )
