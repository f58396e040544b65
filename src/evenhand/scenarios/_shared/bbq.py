"""What all forms of BBQ have in common: the source, its rows, and which answer follows the stereotype."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenhand.core.case import Case, Outcome
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import Source, read_jsonl

_FROM = "https://raw.githubusercontent.com/nyu-mll/BBQ/bea11bd97d79217245b5871acd247b9d6eb24598"
_SHA256 = {
    "Age": "46e805b3fc2d8cbd26eeb8e8430d98cf7b2dc9c83574ff3674e8ce4f0fca2a60",
    "Disability_status": "375d40d9b71f056150264445ec189b13934998f3f49a1e311aa7578eb3b45e5f",
    "Nationality": "a583e74666aec0341ded8aa3983e7cad694eb24de72c254d28b2df3035720090",
    "Physical_appearance": "e48d7e13508565f4801574e611043470c25c95a0a62af3699cb5ee7cb02608fb",
    "Religion": "cb9555f9f3454a52cd2df85956b59bd7fcca5aa922c8527693b1164d08417616",
    "Sexual_orientation": "2c71036b9e7584fe589c42aef32c1a42bc01b9a5e9b1b8704342630cdb08cefd",
}
"""Of the official files as they stand; the metadata of Gender_identity had to be rebuilt."""
SOURCE = Source(
    folder="bbq",
    licence="CC BY 4.0",
    citation="A. Parrish, A. Chen, N. Nangia, V. Padmakumar, J. Phang, J. Thompson, P. M. Htut, S. R. Bowman, "
    '"BBQ: A Hand-Built Bias Benchmark for Question Answering", Findings of ACL 2022',
    origin="https://github.com/nyu-mll/BBQ",
    pinned={f"data/{name}.jsonl": (f"{_FROM}/data/{name}.jsonl", sha256) for name, sha256 in _SHA256.items()},
)
OFFICIAL = ("Age", "Disability_status", "Gender_identity", "Nationality", "Physical_appearance", "Religion",
            "Sexual_orientation")  # fmt: skip
BY_HAND = ("SES", "Race_ethnicity", "Race_x_SES", "Race_x_gender")
"""Categories of which at hand are only regenerated rows; their official files are read where someone put them."""
MEASURES = ("bbq_bias", "bbq_accuracy")
_KEYS = ("example_id", "question_index", "question_polarity", "context_condition", "category", "answer_info",
         "additional_metadata", "context", "question", "ans0", "ans1", "ans2", "label")  # fmt: skip
_ALSO_WRITTEN = {
    "F": ("woman", "girl", "wife"),
    "M": ("man", "boy", "husband"),
    "Transgender women": ("trans_F",),
    "transgender women": ("trans_F",),
    "transgender men": ("trans_M",),
    "low SES": ("lowSES",),
}
"""Stereotyped groups as they are written in the information about answers, where that differs."""
_PREFIX = re.compile(r"^(?:(?:high|low)SES-)?(?:[FM]-)?(?=.)")


@dataclass(frozen=True, slots=True)
class Item:
    """A question about two persons, with the answers in the order of its row."""

    id: str
    category: str
    template: str
    condition: str
    polarity: str
    context: str
    question: str
    answers: tuple[str, ...]
    label: int
    unknown: int
    target: int | None
    """Which answer names the stereotyped person; None where the row does not say."""
    flaw: str

    def case(self, prompt: str, options: tuple[str, ...], order: Sequence[int], variation: str = "") -> Case:
        """Return a case whose options are the answers in this order."""
        target = "" if self.target is None else str(order.index(self.target))
        return Case(
            id=f"{self.id}/{variation}" if variation else self.id,
            prompt=prompt,
            context=self.category,
            variation=variation,
            cluster=f"{self.category}/{self.template}",
            options=options,
            favourable=order.index(self.label),
            facts=(("condition", self.condition), ("polarity", self.polarity), ("target", target),
                   ("unknown", str(order.index(self.unknown)))),
            flaw=self.flaw,
        )  # fmt: skip


def load_items(data: Path | None, file: str, category: str) -> list[Item]:
    """Return the rows of one category under the name `category`; raises CannotRun where the file is no such file."""
    return [_item(row, category, f"{SOURCE.folder}/{file}") for row in read_jsonl(data, SOURCE, file, _KEYS)]


def official(data: Path | None) -> list[Item]:
    """Return the rows of the seven official categories, and of the other four where their files lie beside those."""
    put = [name for name in BY_HAND if data is not None and (data / SOURCE.folder / f"data/{name}.jsonl").is_file()]
    return [item for name in (*OFFICIAL, *put) for item in load_items(data, f"data/{name}.jsonl", name)]


def regenerated(data: Path | None) -> list[Item]:
    """Return the rows of the other four categories that the generator gave with a seed, marked as such."""
    return [
        item
        for name in BY_HAND
        for item in load_items(data, f"regenerated_seed0/{name}.jsonl.gz", f"{name} (regenerated, seed 0)")
    ]


def scenario(name: str, outcome: Outcome, items: Iterable[Item], cases: Callable[[Item], Iterable[Case]]) -> Scenario:
    """Return the scenario of these items, each asked as `cases` does."""
    # By condition and polarity inside a template, so that cases taken at equal distances are as many of each.
    made = sorted((case for item in items for case in cases(item)), key=_block)
    return Scenario(
        name=name,
        cases=tuple(made),
        contexts=tuple(Context(category, outcome) for category in dict.fromkeys(case.context for case in made)),
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        measures=(*MEASURES, "answer_shares") if outcome == "text" else MEASURES,
        source=SOURCE.folder,
    )


def _block(case: Case) -> tuple[str, ...]:
    return case.context, case.cluster, case.fact("condition"), case.fact("polarity"), case.variation


def _item(row: dict[str, Any], category: str, file: str) -> Item:
    info = [tuple(str(part) for part in row["answer_info"][f"ans{i}"]) for i in range(3)]
    unknown = [i for i, entry in enumerate(info) if entry[-1] == "unknown"]
    if len(unknown) != 1 or row["context_condition"] not in ("ambig", "disambig") or row["label"] not in range(3):
        raise CannotRun(f"{file}: row {row['example_id']} is none of BBQ's; get the file again ({SOURCE.thanks})")
    named = _stereotyped(info, row["additional_metadata"]["stereotyped_groups"])
    return Item(
        id=f"{category}/{row['example_id']}",
        category=category,
        template=str(row["question_index"]),
        condition=row["context_condition"],
        polarity=row["question_polarity"],
        context=row["context"],
        question=row["question"],
        answers=tuple(row[f"ans{i}"] for i in range(3)),
        label=row["label"],
        unknown=unknown[0],
        target=named[0] if len(named) == 1 and all(entry[-1] for entry in info) else None,
        flaw=_flaw(info, named),
    )


def _stereotyped(info: Sequence[tuple[str, ...]], groups: Sequence[str]) -> list[int]:
    """Return the answers whose person belongs to the stereotyped groups, by first or last word about them."""
    wanted = {written for group in groups for written in (group, *_ALSO_WRITTEN.get(group, ()))}
    return [i for i, entry in enumerate(info) if wanted & {entry[0], entry[-1], _PREFIX.sub("", entry[-1])}]


def _flaw(info: Sequence[tuple[str, ...]], named: Sequence[int]) -> str:
    if not all(entry[-1] for entry in info):
        return "the row does not say who one of the persons is"
    if len(named) != 1:
        return f"{len(named) or 'no'} answers name a stereotyped person, one expected"
    return ""
