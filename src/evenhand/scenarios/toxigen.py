"""ToxiGen: 6,514 machine-written statements about thirteen groups that people agreed are hateful, or neutral.

Hartvigsen, Gabriel, Palangi, Sap, Ray, Kamar, "ToxiGen: A Large-Scale Machine-Generated Dataset for Adversarial and
Implicit Hate Speech Detection", ACL 2022; the part with human agreement as published by Hosseini, Palangi, Awadallah,
"An Empirical Study of Metrics to Measure Representational Harms in Pre-Trained Language Models", TrustNLP 2023
(CDLA-Permissive-2.0; read from EVENHAND_DATA). Measured is the log-likelihood per token of the hateful statements less
that of the neutral ones about the same group (`hate_likelihood_gap`), and how the gaps of groups differ
from that about women (`hate_gap_difference`; the statements are not parallel, so nothing is paired). The file's score
of toxicity (1 to 5) is at most 3 for neutral and above 3 for hateful statements. Clusters are the statements.

Groups are those of the file. Two of them lie inside others there: what is about Chinese people is also labelled Asian,
Mexican also Latino, 856 statements; they belong to the narrower group here. Only five statements are about Mexican
people without that second label. The remaining 161 statements about several groups stand with the first one named and
are marked as flaws.

Known defects, marked as flaws too: ten texts that stand there with both labels, texts that come before, and 274 that
hold a backslash, left by an escape of the source. Repaired: "_x000D_" (34 statements, a line break as Excel writes it)
and blanks at the ends or doubled.

Why not to trust it alone: the statements were written by GPT-3, prompted with statements of the same sort, so that
models trained on such text find both sorts likely; labels are judgements of three people each; hateful and neutral
statements differ in topic and words too and differently for each group, so a gap by itself means little and differences
between groups mean less than those of HateCheck's parallel templates.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import Source, read_json

FILE = "toxigen_human_agreed.json"
SOURCE = Source(
    folder="toxigen",
    licence="CDLA-Permissive-2.0",
    citation='T. Hartvigsen, S. Gabriel, H. Palangi, M. Sap, D. Ray, E. Kamar, "ToxiGen: A Large-Scale '
    'Machine-Generated Dataset for Adversarial and Implicit Hate Speech Detection", ACL 2022',
    origin=f"https://github.com/microsoft/SafeNLP, data/toxiGen.json under the name {FILE}",
    pinned={
        FILE: (
            "https://raw.githubusercontent.com/microsoft/SafeNLP/e351b6cb892284cf843b88e363b1a6dbaded584e/data/toxiGen.json",
            "42863b997f545833b8c9bfe7fc950aeaccc274d49f7386384db147face745fc3",
        )
    },
)
MEASURES = ("hate_likelihood_gap", "hate_gap_difference")
SIDES = {"hate": "hateful", "neutral": "neutral"}
NARROWER = {frozenset({"chinese", "asian"}): "chinese", frozenset({"mexican", "latino"}): "mexican"}
"""Two labels that are one group: the second lies inside the first."""
REFERENCE = "women"
"""The group that the others are compared with, as in HateCheck."""
_CONTEXT = "statements"
_LINE_BREAK = "_x000D_"


@dataclass(frozen=True, slots=True)
class _Statement:
    text: str
    side: str
    groups: tuple[str, ...]
    group: str


def load(data: Path | None) -> Scenario:
    """Return the statements with the group each is about; raises CannotRun where the file is absent or damaged."""
    read: Any = read_json(data, SOURCE, FILE)
    rows = cast("list[Any]", read) if isinstance(read, list) else [read]
    statements = [_statement(number, row) for number, row in enumerate(rows)]
    labels: dict[str, set[str]] = {}
    for each in statements:
        labels.setdefault(each.text, set()).add(each.side)
    seen: set[str] = set()
    cases: list[Case] = []
    for number, each in enumerate(statements):
        flaw = "labelled hateful and neutral" if len(labels[each.text]) > 1 else _flaw(each, seen)
        cases.append(_case(str(number), each, flaw))
        seen.add(each.text)
    return Scenario(
        name="toxigen",
        cases=tuple(cases),
        contexts=(Context(_CONTEXT, "sentence"),),
        groups=tuple(sorted({case.group for case in cases}, key=lambda group: (group != REFERENCE, group))),
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        measures=MEASURES,
        source=f"{SOURCE.folder}/{FILE}",
    )


def _statement(number: int, row: Any) -> _Statement:
    try:
        text = " ".join(str(row["text"]).replace(_LINE_BREAK, " ").split())
        groups = tuple(map(str, row["target_groups"]))
        return _Statement(text, SIDES[row["label"]], groups, NARROWER.get(frozenset(groups), groups[0]))
    except (KeyError, TypeError, IndexError) as error:
        raise CannotRun(
            f"{SOURCE.folder}/{FILE}: entry {number} has no text, label (hate or neutral) and target groups; get the "
            f"file again ({SOURCE.thanks})"
        ) from error


def _case(id: str, statement: _Statement, flaw: str) -> Case:
    return Case(
        id=id,
        prompt=statement.text,
        context=_CONTEXT,
        group=statement.group,
        cluster=id,
        facts=(("side", statement.side), ("template", id)),
        flaw=flaw,
    )


def _flaw(statement: _Statement, seen: set[str]) -> str:
    if len(statement.groups) > 1 and frozenset(statement.groups) not in NARROWER:
        return "about several groups"
    if statement.text in seen:
        return "the same text comes before"
    return "holds a backslash of its source" if "\\" in statement.text else ""
