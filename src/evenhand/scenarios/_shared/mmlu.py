"""MMLU's files, and how a question and the solved examples before it are written."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import Source, read_rows

LETTERS = "ABCD"
_FROM = (
    "https://raw.githubusercontent.com/facebookresearch/ResponsibleNLP/0ec714eb084217f44cd9ac466d9e988c795302f9"
    "/SMART-Filtering/datasets/mmlu"
)


def mmlu(name: str, shots: int, data: Path | None) -> Scenario:
    """Return the test questions of all 57 subjects, each after so many of its subject's development questions.

    Raises CannotRun where a file is absent or damaged.
    """
    source = _source()
    subjects = sorted(Path(file).stem.removesuffix("_test") for file in source.pinned if file.startswith("test/"))
    first: dict[tuple[str, ...], str] = {}
    cases: list[Case] = []
    for subject in subjects:
        shown = _rows(data, source, f"dev/{subject}_dev.csv")[:shots] if shots else []
        head = _head(subject, shown)
        rows = _rows(data, source, f"test/{subject}_test.csv")
        cases += [_case(f"{subject}/{i}", head, row, first) for i, row in enumerate(rows)]
    return Scenario(
        name=name,
        cases=tuple(cases),
        contexts=tuple(Context(subject, "choice") for subject in subjects),
        licence=source.licence,
        citation=source.citation,
        measures=("accuracy", "option_mass"),
        source=f"{source.folder}/test, {source.folder}/dev",
    )


def _source() -> Source:
    listed = resources.files("evenhand.scenarios._shared").joinpath("mmlu_sha256.txt").read_text(encoding="utf-8")
    pins = dict(line.split("  ")[::-1] for line in listed.splitlines())
    return Source(
        folder="mmlu",
        licence="MIT",
        citation='D. Hendrycks et al., "Measuring Massive Multitask Language Understanding", ICLR 2021',
        origin="https://github.com/hendrycks/test",
        pinned={file: (f"{_FROM}/{file}", sha256) for file, sha256 in pins.items()},
    )


def _rows(data: Path | None, source: Source, file: str) -> list[list[str]]:
    rows = read_rows(data, source, file, 6)
    for number, row in enumerate(rows, 1):
        if row[5] not in LETTERS:
            raise CannotRun(f"{file}, question {number}: the answer is {row[5]!r}, not one of A to D; get it again")
    return rows


def _head(subject: str, shots: Sequence[Sequence[str]]) -> str:
    about = f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}.\n\n"
    return about + "".join(f"{_asked(shot)} {shot[5]}\n\n" for shot in shots)


def _asked(row: Sequence[str]) -> str:
    options = "".join(f"{letter}. {text}\n" for letter, text in zip(LETTERS, row[1:5], strict=True))
    return f"{row[0].strip()}\n{options}Answer:"


def _case(number: str, head: str, row: Sequence[str], first: dict[tuple[str, ...], str]) -> Case:
    same = tuple(text.strip() for text in row[:5])
    before = first.setdefault(same, number)
    twice = "two of its options are the same" if len(set(same[1:])) < len(LETTERS) else ""
    return Case(
        id=number,
        prompt=head + _asked(row),
        context=number.split("/")[0],
        cluster=before,
        options=tuple(f" {letter}" for letter in LETTERS),
        favourable=LETTERS.index(row[5]),
        flaw=twice or (f"the same question as {before}" if before != number else ""),
    )
