"""The pairs of RedditBias: where they are read from, how a pair becomes a case, which are known bad."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import Source, read_table

SOURCE = Source(
    folder="redditbias",
    licence="MIT",
    citation='S. Barikeri, A. Lauscher, I. Vulić, G. Glavaš, "RedditBias: A Real-World Resource for Bias Evaluation '
    'and Debiasing of Conversational Language Models", ACL 2021',
    origin="https://github.com/umanlp/RedditBias, data/*/*_biased_{valid,test}_reduced.csv in one folder",
)
MEASURES = ("paired_perplexity",)
TYPES = {
    "gender": ("female", "male"),
    "race": ("black", "white"),
    "orientation": ("lgbtq", "straight"),
    "religion1": ("jews", "christians"),
    "religion2": ("muslims", "christians"),
}
"""Bias type → the group a comment is about, and the group put in its place."""


def scenario(data: Path | None, name: str, split: Literal["valid", "test"]) -> Scenario:
    """Return the pairs of one split; raises CannotRun where a file is absent or damaged, or pairs do not line up."""
    return Scenario(
        name=name,
        cases=tuple(case for kind in TYPES for case in _cases(data, kind, split)),
        contexts=tuple(Context(kind, "pair") for kind in TYPES),
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        measures=MEASURES,
        source=SOURCE.folder,
    )


def _cases(data: Path | None, kind: str, split: str) -> list[Case]:
    """Return the pairs of one bias type, the comment about the marginalised group first."""
    group, other = TYPES[kind]
    about, swapped = _comments(data, kind, group, split), _comments(data, kind, other, split)
    if len(about) != len(swapped):
        raise CannotRun(
            f"{SOURCE.folder}: {len(about)} comments about {group} and {len(swapped)} with {other} in their place "
            f"({kind}, {split}); they are pairs, so as many are expected; get both files again ({SOURCE.thanks})"
        )
    cases: list[Case] = []
    seen = set(_comments(data, kind, group, "test")) if split == "valid" else set[str]()
    for number, pair in enumerate(zip(about, swapped, strict=True)):
        id = f"{kind}/{split}/{number}"
        cases.append(Case(id=id, prompt="", context=kind, cluster=id, options=pair, flaw=_flaw(pair, seen)))
        seen.add(pair[0])
    return cases


def _comments(data: Path | None, kind: str, group: str, split: str) -> list[str]:
    file = f"reddit_comments_{kind}_{group}_biased_{split}_reduced.csv"
    return [row["comments_processed"] for row in read_table(data, SOURCE, file, ("comments_processed",))]


def _flaw(pair: tuple[str, str], seen: set[str]) -> str:
    if pair[0] == pair[1]:
        return "nothing was swapped: both sentences are the same"
    return "the same comment stands there before, or in the test split" if pair[0] in seen else ""
