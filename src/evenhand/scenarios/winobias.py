"""WinoBias: 3,168 sentences in which a pronoun means one of two occupations, with and against the stereotype.

Zhao, Wang, Yatskar, Ordonez, Chang, "Gender Bias in Coreference Resolution: Evaluation and Debiasing Methods", NAACL
2018 (data MIT); read from EVENHAND_DATA. 792 sentences of each type, each in two versions: `pro`, with a pronoun of the
gender that is the majority in the occupation meant, and `anti`, with the other. Type 1 needs knowledge of the world,
type 2 is decided by grammar. The cluster is the pair of occupations, so pro and anti versions stay together.

Two conventions, by context. `type1-dev` … (`choice`): the sentence is followed by a question of ours in two wordings
(the variations), the options are the two occupations, the right one stands in brackets in the data; its measures are
`accuracy_gap` (pro − anti) and `coreference_accuracy`. The published numbers are F1 of coreference systems and are not
comparable. A longer or rarer occupation is less likely whoever is meant; pro and anti share this, so their difference
is nearly free of it. For masked models the pseudo-log-likelihood of several tokens ("construction worker") is high for
a like reason. `type1-dev-sentences` … (`pair`): the two versions of a sentence against each other, the pro one first,
without any question (`stereotype_preference`, for models that do not answer questions).

Changes: brackets are removed, " 's" is joined to its word. Known defects, marked as flaws in both versions: the two
differ in more than pronouns, pronouns of both genders, a doubled word, a third occupation. Why not to trust it alone:
forty occupations of one country's statistics at one date; US English; template-like sentences; two genders; a model
near chance on type 1 has no room for a gap.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from evenhand.core.case import Case, Outcome
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import Source, read_lines
from evenhand.scenarios._shared.coreference import FRAMES, GENDERS, asked, pronouns, without_pronouns

SOURCE = Source(
    folder="winobias",
    licence="MIT",
    citation='J. Zhao, T. Wang, M. Yatskar, V. Ordonez, K.-W. Chang, "Gender Bias in Coreference Resolution: '
    'Evaluation and Debiasing Methods", NAACL 2018',
    origin="https://github.com/uclanlp/corefBias, WinoBias/wino/data",
)
SIDES = ("pro", "anti")
PARTS = tuple(product(("type1", "type2"), ("dev", "test")))
_KINDS: tuple[tuple[str, Outcome], ...] = (("", "choice"), ("-sentences", "pair"))
Jobs = dict[str, str]
"""Occupation in lower case → as the list spells it."""


@dataclass(frozen=True)
class _Row:
    """One sentence as published, without its brackets."""

    text: str
    pronoun: str
    jobs: tuple[str, ...]
    """Occupations in the order they are mentioned; a WinoBias sentence has two."""
    right: str


def load(data: Path | None) -> Scenario:
    """Return the sentences in eight contexts; raises CannotRun where files are absent or a row cannot be read."""
    jobs = {job.lower(): job for job in (job.strip() for g in ("female", "male") for job in _occupations(data, g))}
    cases: list[Case] = []
    for type_, split in PARTS:
        pro, anti = ([_row(side, type_, line, jobs) for line in _lines(data, side, type_, split)] for side in SIDES)
        if len(pro) != len(anti):
            raise CannotRun(
                f"winobias, {type_}, {split}: {len(pro)} pro and {len(anti)} anti sentences; get them again"
            )
        for number, rows in enumerate(zip(pro, anti, strict=True), 1):
            cases += _cases(f"{type_}-{split}", number, *rows)
    return Scenario(
        name="winobias",
        cases=tuple(cases),
        contexts=tuple(Context(f"{t}-{s}{what}", kind) for what, kind in _KINDS for t, s in PARTS),
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        measures=("accuracy_gap", "coreference_accuracy", "stereotype_preference"),
        source=f"{SOURCE.folder}/*_stereotyped_type*.txt.*",
    )


def _occupations(data: Path | None, gender: str) -> list[str]:
    return read_lines(data, SOURCE, f"{gender}_occupations.txt")


def _lines(data: Path | None, side: str, type_: str, split: str) -> list[str]:
    return read_lines(data, SOURCE, f"{side}_stereotyped_{type_}.txt.{split}")


def _row(side: str, type_: str, line: str, jobs: Jobs) -> _Row:
    """Read one line: a number, then the sentence with the occupation meant and its pronoun in brackets."""
    marked = re.fullmatch(r"\d+ (.*?\[([^\]]*)\].*?\[([^\]]*)\].*)", line.strip())
    any_job = re.compile(rf"\b({'|'.join(sorted(map(re.escape, jobs), key=len, reverse=True))})\b", re.IGNORECASE)
    found = [jobs[job.lower()] for job in any_job.findall(marked[1])] if marked else []
    right = [jobs[job.lower()] for job in any_job.findall(marked[2])] if marked else []
    if marked is None or len(right) != 1 or len(set(found)) < 2 or marked[3].lower() not in GENDERS:
        raise CannotRun(
            f"winobias, {side}, {type_}: {line.strip()!r} is not a number and a sentence with two known occupations, "
            f"of which one and a pronoun stand in brackets; get the file again ({SOURCE.thanks})"
        )
    text = re.sub(r"\s+", " ", re.sub(r"[\[\]]", "", marked[1])).replace(" 's", "'s")
    return _Row(text, marked[3].lower(), tuple(dict.fromkeys(found)), right[0])


def _cases(context: str, number: int, pro: _Row, anti: _Row) -> Iterator[Case]:
    flaw, people = _flaw(pro, anti), (pro.jobs[0], pro.jobs[1])
    cluster = " / ".join(sorted(people))
    for side, row in zip(SIDES, (pro, anti), strict=True):
        for variation in FRAMES:
            yield Case(
                id=f"{context}/{number}/{side}/{variation}",
                context=context,
                cluster=cluster,
                favourable=people.index(row.right),
                facts=(("side", side), ("pronoun", GENDERS[row.pronoun])),
                flaw=flaw,
                **asked(variation, row.text, row.pronoun, (f"the {people[0]}", f"the {people[1]}")),
            )
    yield Case(
        id=f"{context}/{number}/sentences",
        prompt="",
        context=f"{context}-sentences",
        cluster=cluster,
        options=(pro.text, anti.text),
        flaw=flaw,
    )


def _flaw(pro: _Row, anti: _Row) -> str:
    """Say what is wrong with a sentence or its counterpart; empty where only the gender of the pronouns differs."""
    if without_pronouns(pro.text) != without_pronouns(anti.text):
        return "the two versions differ in more than the pronoun"
    if any({"female", "male"} <= {GENDERS[pronoun] for pronoun in pronouns(row.text)} for row in (pro, anti)):
        return "pronouns of both genders"
    if re.search(r"\b(\w+) \1\b", pro.text, re.IGNORECASE):
        return "a word is doubled"
    return "a third occupation" if len(pro.jobs) > 2 else ""
