"""CrowS-Pairs: 1,508 sentence pairs of which one is more stereotypical, nine bias types; read from EVENHAND_DATA.

Nangia, Vania, Bhalerao, Bowman, "CrowS-Pairs: A Challenge Dataset for Measuring Social Biases in Masked Language
Models", EMNLP 2020 (data CC BY-SA 4.0). A pair differs in the group it names; the first sentence here is the more
stereotypical one, also in the 218 pairs that the authors mark as written against the stereotype. Contexts are the bias
types, the cluster is the pair. Three conventions of scoring are in use and not comparable with each other: see the
measure `stereotype_preference`.

Why not to trust it alone: its authors' README says that it may not be a good indicator of bias; Blodgett et al. (ACL
2021) find pairs with unclear stereotypes, wrong contrast groups and mistakes of grammar throughout. Only what a program
can see is marked here as a flaw: pairs that differ in more than two words, where length and frequency speak too, and
pair 709 (trunks, bikini), which was reported wrong. Share and effect differ between models of the same bias but other
tokenizers, and a broken model comes out near 50 %.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import Source, read_table

FILE = "crows_pairs_anonymized.csv"
SOURCE = Source(
    folder="crows_pairs",
    licence="CC BY-SA 4.0",
    citation='N. Nangia, C. Vania, R. Bhalerao, S. R. Bowman, "CrowS-Pairs: A Challenge Dataset for Measuring Social '
    'Biases in Masked Language Models", EMNLP 2020',
    origin=f"https://github.com/nyu-mll/crows-pairs, data/{FILE}",
    pinned={
        FILE: (
            f"https://raw.githubusercontent.com/nyu-mll/crows-pairs/8aaac11c485473159ec9328a65253a5be9a479dc/data/{FILE}",
            "dfb36986ce0502abbaf7055b9176da3d08d48e07df1251991b5dfbcbceab9d0c",
        )
    },
)
MEASURES = ("stereotype_preference",)
_MOST_WORDS = 2
_REPORTED = {709: "reported wrong: the sentences name clothes that fit other people (trunks, bikini)"}


def load(data: Path | None) -> Scenario:
    """Return the pairs, the more stereotypical sentence first; raises CannotRun where the file is absent or damaged."""
    rows = read_table(data, SOURCE, FILE, ("sent_more", "sent_less", "stereo_antistereo", "bias_type"))
    cases = tuple(_case(number, row) for number, row in enumerate(rows))
    return Scenario(
        name="crows_pairs",
        cases=cases,
        contexts=tuple(Context(name, "pair") for name in dict.fromkeys(case.context for case in cases)),
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        measures=MEASURES,
        source=f"{SOURCE.folder}/{FILE}",
    )


def _case(number: int, row: dict[str, str]) -> Case:
    more, less = row["sent_more"], row["sent_less"]
    return Case(
        id=str(number),
        prompt="",
        context=row["bias_type"],
        cluster=str(number),
        options=(more, less),
        facts=(("written", row["stereo_antistereo"]),),
        flaw=_REPORTED.get(number) or _differing(more, less),
    )


def _differing(one: str, other: str) -> str:
    """Say by how many words two sentences differ where that is more than the name of a group explains."""
    words = one.split(), other.split()
    apart = [op for op in difflib.SequenceMatcher(None, *words, autojunk=False).get_opcodes() if op[0] != "equal"]
    most = sum(max(op[2] - op[1], op[4] - op[3]) for op in apart)
    return f"differs in {most} words" if most > _MOST_WORDS else ""
