"""LAMBADA: 5,153 passages whose last word needs the whole passage; read from EVENHAND_DATA or downloaded.

Paperno et al., "The LAMBADA dataset: Word prediction requiring a broad discourse context", ACL 2016 (CC BY 4.0). This
is the detokenised variant made for GPT-2; its numbers are not those of the original, lower-cased and tokenised one. The
last word is what follows the last space (as in lm-eval's `lambada_openai`), scored after everything before it: how
often the model would write it itself, and its perplexity per word. In seven passages a line break stands in what
follows the last space, so more than one word is asked for; they are marked as flawed. Two passages stand in it twice.

Why not to trust it alone: the passages are from unpublished novels that are in many training corpora, about half of the
answers are names, and a model that has lost its knowledge can still copy a name from the passage. Masked models write
nothing: of them only the (pseudo-)perplexity is defined.
"""

from __future__ import annotations

from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import Source, read_jsonl

FILE = "lambada_test.jsonl"
SOURCE = Source(
    folder="lambada",
    licence="CC BY 4.0",
    citation='D. Paperno et al., "The LAMBADA dataset: Word prediction requiring a broad discourse context", ACL 2016',
    origin="https://zenodo.org/record/2630551, detokenised for GPT-2",
    pinned={
        FILE: (
            f"https://raw.githubusercontent.com/cybertronai/bflm/620fff70127e0a7c741ee229ed2e33e25dd5185a/{FILE}",
            "4aa8d02cd17c719165fc8a7887fddd641f43fcafa4b1c806ca8abc31fabdb226",
        )
    },
)


def load(data: Path | None) -> Scenario:
    """Return the passages, each with its last word as the only option; raises CannotRun without a readable file."""
    first: dict[str, int] = {}
    cases = tuple(_case(i, row["text"], first) for i, row in enumerate(read_jsonl(data, SOURCE, FILE, ("text",))))
    return Scenario(
        name="lambada",
        cases=cases,
        contexts=(Context("lambada", "choice"),),
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        measures=("last_word_accuracy", "last_word_perplexity"),
        source=f"{SOURCE.folder}/{FILE}",
    )


def _case(number: int, text: object, first: dict[str, int]) -> Case:
    before, space, word = text.rpartition(" ") if isinstance(text, str) else ("", "", "")
    if not (before and word):
        raise CannotRun(f"{FILE}, passage {number}: it has no last word after a space; get the file again")
    return Case(
        id=str(number),
        prompt=before,
        context="lambada",
        cluster=str(first.setdefault(f"{text}", number)),
        options=(space + word,),
        favourable=0,
        flaw="a line break stands in what follows the last space" if "\n" in word else "",
    )
