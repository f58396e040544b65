"""ARC: 3,530 science questions from American schools with four options each, easy ones and challenging ones.

Clark et al., "Think you have Solved Question Answering? Try ARC, the AI2 Reasoning Challenge", arXiv:1803.05457
(CC BY-SA 4.0); read from EVENHAND_DATA or downloaded. Contexts: `easy` (2,365) and `challenge` (1,165; those that a
retrieval and a co-occurrence method got wrong). As in lm-eval, the text of each option is scored after
"Question: …", a line break and "Answer:", without letters: `accuracy` by the sum, `accuracy_per_character` (lm-eval's
`acc_norm`, the one usually published for `challenge`) by sum / length. Guessing gives 0.25.

Known defects: the copy has only the questions with four options, 18 fewer than the original 2,376 and 1,172, so
numbers are not quite those published. Why not to trust it alone: the option is scored without being compared with the
others, so a likely phrase wins over a right one; the two ways of counting differ by several points.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import Source, read_rows

FILES = {"easy": "ARC-Easy_test.csv", "challenge": "ARC-Challenge_test.csv"}
_FROM = (
    "https://raw.githubusercontent.com/facebookresearch/ResponsibleNLP/0ec714eb084217f44cd9ac466d9e988c795302f9"
    "/SMART-Filtering/datasets/ai2_arc/test"
)
_SHA256 = {
    "easy": "1f134083128ff8db34394f0ba16f2f9573a6b511b5c6eda1f343dfec2987af60",
    "challenge": "2e9aaaf8b5422a3c7fcc583f366a5399d556793ec25092ea856e68eca510516a",
}
SOURCE = Source(
    folder="arc",
    licence="CC BY-SA 4.0",
    citation='P. Clark et al., "Think you have Solved Question Answering? Try ARC, the AI2 Reasoning Challenge", '
    "arXiv:1803.05457",
    origin="https://allenai.org/data/arc",
    pinned={file: (f"{_FROM}/{file}", _SHA256[part]) for part, file in FILES.items()},
)
LETTERS = "ABCD"


def load(data: Path | None) -> Scenario:
    """Return the test questions of both parts; raises CannotRun where a file is absent or damaged."""
    return Scenario(
        name="arc",
        cases=tuple(
            _case(part, number, row)
            for part, file in FILES.items()
            for number, row in enumerate(read_rows(data, SOURCE, file, 6))
        ),
        contexts=tuple(Context(part, "choice") for part in FILES),
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        pooled=False,
        measures=("accuracy", "accuracy_per_character"),
        source=", ".join(f"{SOURCE.folder}/{file}" for file in FILES.values()),
    )


def _case(part: str, number: int, row: Sequence[str]) -> Case:
    question, *options, letter = row
    if letter not in LETTERS:
        raise CannotRun(f"{FILES[part]}, question {number}: the answer is {letter!r}, not one of A to D; get it again")
    return Case(
        id=f"{part}/{number}",
        prompt=f"Question: {question}\nAnswer:",
        context=part,
        cluster=question,
        options=tuple(f" {option}" for option in options),
        favourable=LETTERS.index(letter),
    )
