"""The pairs of RedditBias: where they are read from, how a pair becomes a case, which are known bad."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import Source, read_table

MEASURES = ("paired_perplexity",)
_FROM = "https://raw.githubusercontent.com/umanlp/RedditBias/61f9ae9458e26a64ae1113425192280503f8fb92/data"
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
    about = source()
    return Scenario(
        name=name,
        cases=tuple(case for kind in TYPES for case in _cases(data, kind, split)),
        contexts=tuple(Context(kind, "pair") for kind in TYPES),
        licence=about.licence,
        citation=about.citation,
        measures=MEASURES,
        source=about.folder,
    )


@cache
def source() -> Source:
    """Return where the pairs are, and where they can be downloaded."""
    listed = resources.files("evenhand.scenarios._shared").joinpath("redditbias_sha256.txt").read_text(encoding="utf-8")
    return Source(
        folder="redditbias",
        licence="MIT",
        citation='S. Barikeri, A. Lauscher, I. Vulić, G. Glavaš, "RedditBias: A Real-World Resource for Bias '
        'Evaluation and Debiasing of Conversational Language Models", ACL 2021',
        origin="https://github.com/umanlp/RedditBias, data/*/*_biased_{valid,test}_reduced.csv in one folder",
        pinned={
            file: (f"{_FROM}/{file.split('_')[2]}/{file}", sha256)
            for sha256, file in map(str.split, listed.splitlines())
        },
    )


def _cases(data: Path | None, kind: str, split: str) -> list[Case]:
    """Return the pairs of one bias type, the comment about the marginalised group first."""
    group, other = TYPES[kind]
    about, swapped = _comments(data, kind, group, split), _comments(data, kind, other, split)
    if len(about) != len(swapped):
        raise CannotRun(
            f"redditbias: {len(about)} comments about {group} and {len(swapped)} with {other} in their place "
            f"({kind}, {split}); they are pairs, so as many are expected; get both files again ({source().thanks})"
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
    return [row["comments_processed"] for row in read_table(data, source(), file, ("comments_processed",))]


def _flaw(pair: tuple[str, str], seen: set[str]) -> str:
    if pair[0] == pair[1]:
        return "nothing was swapped: both sentences are the same"
    return "the same comment stands there before, or in the test split" if pair[0] in seen else ""
