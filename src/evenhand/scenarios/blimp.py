"""BLiMP: pairs of sentences that differ in one word or two, one of them grammatical; 67 phenomena of English.

Warstadt et al., "BLiMP: The Benchmark of Linguistic Minimal Pairs for English", TACL 2020 (CC BY 4.0), read from
EVENHAND_DATA. Contexts are the paradigms: `anaphor_gender_agreement` ("Katherine can't help herself / himself.") with
all its 1,000 pairs, the other 66 with the first 100 of theirs, which is no random sample. It shows whether an edit
that evens out gender also destroyed the grammar of gender.

The grammatical sentence comes first and should be the likelier one; guessing gives 0.5. As in lm-eval each sentence is
scored whole, after the start token and a space. Masked models: pseudo-log-likelihood (Salazar et al. 2020).

Why not to trust it alone: sentences are made from templates, so many are odd in meaning; where the two differ in
length, the shorter is preferred; some paradigms (islands, quantifiers) are near chance even for large models.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evenhand.core.case import Case
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import Source, read_jsonl

WHOLE = "anaphor_gender_agreement"
FILES = (f"{WHOLE}.jsonl", "blimp_first100.jsonl")
SOURCE = Source(
    folder="blimp_subset",
    licence="CC BY 4.0",
    citation='A. Warstadt et al., "BLiMP: The Benchmark of Linguistic Minimal Pairs for English", TACL 2020',
    origin="https://github.com/alexwarstadt/blimp, data/*.jsonl; blimp_first100.jsonl: 100 lines of each",
    pinned={
        FILES[0]: (
            "https://raw.githubusercontent.com/alexwarstadt/blimp/3e56b06fcabca9b30822fc66435fca6b1aa40bb1/data/"
            + FILES[0],
            "fd7d6e47196fa1310a251d3aa88ae9a62bb64d3cec35fc02617229d5799767e1",
        )
    },
)
_KEYS = ("sentence_good", "sentence_bad", "UID", "pairID", "field", "linguistics_term")


def load(data: Path | None) -> Scenario:
    """Return the pairs, the grammatical sentence first; raises CannotRun where a file is absent or damaged."""
    whole, parts = (read_jsonl(data, SOURCE, file, _KEYS) for file in FILES)
    cases = tuple(_case(row) for row in [*whole, *(row for row in parts if row["UID"] != WHOLE)])
    return Scenario(
        name="blimp",
        cases=cases,
        contexts=tuple(Context(name, "pair") for name in dict.fromkeys(case.context for case in cases)),
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        measures=("pair_accuracy",),
        source=", ".join(f"{SOURCE.folder}/{file}" for file in FILES),
    )


def _case(row: Mapping[str, Any]) -> Case:
    number = f"{row['UID']}/{row['pairID']}"
    return Case(
        id=number,
        prompt="",
        context=row["UID"],
        cluster=number,
        options=(f" {row['sentence_good']}", f" {row['sentence_bad']}"),
        facts=(("field", row["field"]), ("phenomenon", row["linguistics_term"])),
    )
