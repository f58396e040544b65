"""Fairy tales, 46 of them in passages of some 200 words: clean running text for small models' perplexity.

The stories of the validation and test sets of FairytaleQA (Xu et al., ACL 2022; Apache-2.0; the tales are in the
public domain), read from EVENHAND_DATA. A case is a passage of whole sentences, read for itself; the cluster is the
story.

Why not to trust it alone: it is old-fashioned and strongly gendered prose (kings, princesses, wicked stepmothers), not
neutral text. An edit that takes gender out of a model is expected to cost something here; read it beside `wikitext` or
`neutral_text`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evenhand.core.case import Case
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import Source, read_jsonl

FILE = "stories_val_test.jsonl"
SOURCE = Source(
    folder="fairytaleqa_text",
    licence="Apache-2.0",
    citation='Y. Xu et al., "Fantastic Questions and Where to Find Them: FairytaleQA", ACL 2022',
    origin="https://github.com/uci-soe/FairytaleQAData, data-by-train-split/sentence-stories/{val,test}, the sentences "
    "of a story joined by spaces, one object per line",
)
WORDS = 200
_END = re.compile(r"(?<=[.!?])(?<!Mr\.)(?<!Mrs\.)(?<!St\.)[\"'”’]* +(?=[\"'“‘A-Z])")


def load(data: Path | None) -> Scenario:
    """Return the passages; raises CannotRun where the file is absent or damaged."""
    rows = read_jsonl(data, SOURCE, FILE, ("story", "text"))
    return Scenario(
        name="fairytales",
        cases=tuple(case for row in rows for case in _cases(row)),
        contexts=(Context("fairytales", "sentence"),),
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        measures=("perplexity", "bits_per_byte", "kl_to_unedited", "top1_agreement"),
        source=f"{SOURCE.folder}/{FILE}",
    )


def _cases(row: Mapping[str, Any]) -> Iterator[Case]:
    for number, text in enumerate(_passages(row["text"])):
        yield Case(f"{row['story']}/{number}", text, "fairytales", cluster=row["story"])


def _passages(text: str) -> list[str]:
    """Cut between sentences where a passage has its words; a short rest stays with the last passage."""
    starts = [0]
    for end in [match.end() for match in _END.finditer(text)]:
        if len(text[starts[-1] : end].split()) >= WORDS and len(text[end:].split()) >= WORDS // 2:
            starts.append(end)
    return [text[start:end].strip() for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
