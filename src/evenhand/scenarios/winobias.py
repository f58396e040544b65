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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from evenhand.core.case import Case, Outcome
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import Source, read_lines
from evenhand.scenarios._shared.coreference import FRAMES, GENDERS, asked, pronouns, without_pronouns

SIDES = ("pro", "anti")
PARTS = tuple(product(("type1", "type2"), ("dev", "test")))
_SHA256 = {
    "pro_stereotyped_type1.txt.dev": "dd55a0d220fe4c0ceb63dd4648223fb4fe1a58d5ad95c116a002ad24b0e292a5",
    "pro_stereotyped_type1.txt.test": "db7838907238a758eeb5779e48f38c013b892910d6fe864456c59f04245c6689",
    "pro_stereotyped_type2.txt.dev": "8f0250de723cea9328e3eaf7169e07936f01aa5909ce7aa580db66eb803f4e86",
    "pro_stereotyped_type2.txt.test": "ea1c1fd94fa612e3cc44d7fa3cc4cb76021bb63fdf94f9826f430051e9052438",
    "anti_stereotyped_type1.txt.dev": "a4e0ebae344e78b56f657a42e8ae684b9db7747d177c5e7149c0907ebb7f3bf6",
    "anti_stereotyped_type1.txt.test": "331db5bd74bfefebf146a60b67645152a4a1991570d2a56f57154103ac361dd2",
    "anti_stereotyped_type2.txt.dev": "763ad829ad724f9a85ead689ba8ca69072020cb1238def6210f0fc6a47b97e59",
    "anti_stereotyped_type2.txt.test": "336571ac1ea8c06cd2aba8e5dd2bd98e00acc0c48da3e4ec5ec7e54eb2633a8f",
}
_FROM = (
    "https://raw.githubusercontent.com/uclanlp/corefBias/0bce984dd081bbc10b0622f326727a024c607895/WinoBias/wino/data"
)
SOURCE = Source(
    folder="winobias",
    licence="MIT",
    citation='J. Zhao, T. Wang, M. Yatskar, V. Ordonez, K.-W. Chang, "Gender Bias in Coreference Resolution: '
    'Evaluation and Debiasing Methods", NAACL 2018',
    origin="https://github.com/uclanlp/corefBias, WinoBias/wino/data",
    pinned={file: (f"{_FROM}/{file}", sha256) for file, sha256 in _SHA256.items()},
)
_KINDS: tuple[tuple[str, Outcome], ...] = (("", "choice"), ("-sentences", "pair"))
_MARKED = re.compile(r"\d+ (?P<sentence>.*?\[(?P<person>[^\]]*)\].*?\[(?P<pronoun>[^\]]*)\].*)")


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
    lines = {
        (side, *part): read_lines(data, SOURCE, f"{side}_stereotyped_{part[0]}.txt.{part[1]}")
        for part in PARTS
        for side in SIDES
    }
    jobs = _jobs(line for few in lines.values() for line in few)
    cases: list[Case] = []
    for part in PARTS:
        pro, anti = ([_row(f"{side}, {', '.join(part)}", line, jobs) for line in lines[side, *part]] for side in SIDES)
        if len(pro) != len(anti):
            raise CannotRun(f"winobias, {', '.join(part)}: {len(pro)} pro and {len(anti)} anti sentences; get it again")
        for number, (one, other) in enumerate(zip(pro, anti, strict=True), 1):
            if {*one.jobs[:2]} != {*other.jobs[:2]}:
                raise CannotRun(f"winobias, {', '.join(part)}: {one.text!r} and {other.text!r} are not of one pair")
            cases += _cases("-".join(part), number, one, other)
    return Scenario(
        name="winobias",
        cases=tuple(cases),
        contexts=tuple(Context(f"{'-'.join(part)}{what}", kind) for what, kind in _KINDS for part in PARTS),
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        measures=("accuracy_gap", "coreference_accuracy", "stereotype_preference"),
        source=f"{SOURCE.folder}/*_stereotyped_type*.txt.*",
    )


def _jobs(lines: Iterable[str]) -> dict[str, str]:
    """Return all occupations that stand in brackets, lower case → as written, the longest first."""
    found = {_job(marked["person"]) for line in lines if (marked := _MARKED.fullmatch(line.strip()))}
    return {job.lower(): job for job in sorted(found, key=len, reverse=True)}


def _job(person: str) -> str:
    return re.sub(r"^(?:the|an?) ", "", person.strip(), flags=re.IGNORECASE)


def _row(where: str, line: str, jobs: dict[str, str]) -> _Row:
    """Read one line: a number, then the sentence with the occupation meant and its pronoun in brackets."""
    marked = _MARKED.fullmatch(line.strip())
    if marked is not None and marked["pronoun"].lower() in GENDERS:
        mentioned = re.findall(rf"\b({'|'.join(map(re.escape, jobs))})\b", marked["sentence"], re.IGNORECASE)
        found = tuple(dict.fromkeys(jobs[job.lower()] for job in mentioned))
        right = jobs[_job(marked["person"]).lower()]
        if len(found) > 1 and right in found[:2]:
            text = re.sub(r"\s+", " ", re.sub(r"[\[\]]", "", marked["sentence"])).replace(" 's", "'s")
            return _Row(text, marked["pronoun"].lower(), found, right)
    raise CannotRun(
        f"winobias, {where}: {line.strip()!r} is not a number and a sentence with two occupations, of which one and a "
        f"pronoun stand in brackets; get the file again ({SOURCE.thanks})"
    )


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
