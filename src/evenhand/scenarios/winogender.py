"""Winogender: 720 sentences in which a pronoun means an occupation or another person, in three genders.

Rudinger, Naradowsky, Leonard, Van Durme, "Gender Bias in Coreference Resolution", NAACL 2018 (data MIT); read from
EVENHAND_DATA. 60 occupations × two templates (one answer each) × the other person named or "someone" × she, he, they.
The cluster is the occupation.

Three conventions, by context. `participant` and `someone` (`choice`): the sentence is followed by a question of ours in
two wordings (the variations), the options are the two people. `accuracy_gap` compares sentences in which the majority
gender of the occupation (US Bureau of Labor Statistics of 2015 and 2016, in the data) leads to the right person with
those where it leads away, the paper's "gotcha" ones; "they" is on neither side. `coreference_accuracy` gives the
accuracy of each pronoun, `resolution_correlation` the correlation over occupations with the percentage of women, as the
paper does with the decisions of coreference systems; numbers are not comparable with theirs. `pronoun-occupation` and
`pronoun-participant` (`pair`): the three versions of a sentence against each other as whole texts, where the pronoun
means the one or the other: `pronoun_shares`, `gender_gap` (leaning: the majority gender of the occupation) and
`gap_correlation`. "They" also changes the verb ("they were") in some sentences.

Why not to trust it alone: its authors call it a diagnostic that may show bias but cannot prove its absence; two
templates per occupation; occupations have their statistics from one country at one date; a model that cannot resolve
pronouns at all is unbiased here, so read the accuracy first. Two templates say "a student" where the options say
"the student".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import Source, read_table
from evenhand.scenarios._shared.coreference import FRAMES, GENDERS, asked, pronouns

_FROM = "https://raw.githubusercontent.com/rudinger/winogender-schemas/1c7f8b481ad8a234b41e9f76a424d6e856e13f7f/data"
SOURCE = Source(
    folder="winogender",
    licence="MIT",
    citation='R. Rudinger, J. Naradowsky, B. Leonard, B. Van Durme, "Gender Bias in Coreference Resolution", NAACL '
    "2018",
    origin="https://github.com/rudinger/winogender-schemas, data/",
    pinned={
        "all_sentences.tsv": (
            f"{_FROM}/all_sentences.tsv",
            "bd69da16bf228cb8df63fd0843aec2d8b5c36a7f21bf8c7b168bcc83932556c8",
        ),
        "occupations-stats.tsv": (
            f"{_FROM}/occupations-stats.tsv",
            "3f7f37c16381a70571356982ea7fe613ac700ad04a6d3b19b9f2be18248df567",
        ),
    },
)
ORDER = ("female", "male", "neutral")
_Key = tuple[str, str, str]
"""Occupation, other person, answer."""


def load(data: Path | None) -> Scenario:
    """Return the sentences in four contexts; raises CannotRun where files are absent or a row cannot be read."""
    stats = read_table(data, SOURCE, "occupations-stats.tsv", ("occupation", "bls_pct_female"), "\t")
    women = {row["occupation"]: row["bls_pct_female"] for row in stats}
    schemas: dict[_Key, dict[str, str]] = {}
    for row in read_table(data, SOURCE, "all_sentences.tsv", ("sentid", "sentence"), "\t"):
        *key, gender = _read(row, women)
        schemas.setdefault((key[0], key[1], key[2]), {})[gender] = row["sentence"]
    for key, sentences in schemas.items():
        if set(sentences) != set(ORDER):
            raise CannotRun(f"winogender: {'.'.join(key)} has only the pronouns {', '.join(sentences)}; get it again")
    return Scenario(
        name="winogender",
        cases=(
            *(case for key, sentences in schemas.items() for case in _resolved(key, sentences, women)),
            *(_preferred(key, sentences, women) for key, sentences in schemas.items()),
        ),
        contexts=(
            Context("participant", "choice"),
            Context("someone", "choice"),
            Context("pronoun-occupation", "pair"),
            Context("pronoun-participant", "pair"),
        ),
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        pooled=False,
        measures=(
            "accuracy_gap", "coreference_accuracy", "resolution_correlation", "gender_gap", "pronoun_shares",
            "gap_correlation",
        ),
        source=f"{SOURCE.folder}/all_sentences.tsv, occupations-stats.tsv",
    )  # fmt: skip


def _read(row: Mapping[str, str], women: Mapping[str, str]) -> Sequence[str]:
    """Return occupation, other person, answer and gender of a sentence from its name."""
    parts = row["sentid"].removesuffix(".txt").split(".")
    known = len(parts) == 4 and parts[0] in women and parts[2] in ("0", "1") and parts[3] in ORDER
    if not known or [GENDERS[each] for each in pronouns(row["sentence"])] != parts[3:]:
        raise CannotRun(
            f"winogender, {row['sentid']!r}: not the name of a sentence with one pronoun of that gender and a known "
            f"occupation: {row['sentence']!r}; get the files again ({SOURCE.thanks})"
        )
    return parts


def _majority(percent: str) -> str:
    return "female" if float(percent) > 50 else "male"


def _resolved(key: _Key, sentences: Mapping[str, str], women: Mapping[str, str]) -> Iterator[Case]:
    job, other, answer = key
    for gender in ORDER:
        leads_to = "0" if gender == _majority(women[job]) else "1"
        side = "none" if gender == "neutral" else "pro" if leads_to == answer else "anti"
        (pronoun,) = pronouns(sentences[gender])
        for variation in FRAMES:
            yield Case(
                id=f"{'.'.join(key)}.{gender}/{variation}",
                context="someone" if other == "someone" else "participant",
                cluster=job,
                favourable=int(answer),
                facts=(
                    ("side", side), ("pronoun", gender), ("occupation", job), ("percent_women", women[job]),
                    ("occupation_option", "0"),
                ),
                **asked(variation, sentences[gender], pronoun, (f"the {job}", _named(other))),
            )  # fmt: skip


def _named(person: str) -> str:
    return person if person == "someone" else f"the {person}"


def _preferred(key: _Key, sentences: Mapping[str, str], women: Mapping[str, str]) -> Case:
    job, _, answer = key
    return Case(
        id=f"{'.'.join(key)}/sentences",
        prompt="",
        context=("pronoun-occupation", "pronoun-participant")[int(answer)],
        cluster=job,
        options=tuple(sentences[gender] for gender in ORDER),
        facts=(
            ("sides", "fm-"), ("leaning", _majority(women[job])), ("occupation", job), ("percent_women", women[job]),
        ),
    )  # fmt: skip
