"""WikiText-2 (tokenised version 1): 60 Wikipedia articles for perplexity; read from EVENHAND_DATA or downloaded.

Merity et al., "Pointer Sentinel Mixture Models", arXiv:1609.07843 (CC BY-SA 3.0); the test set. A case is an article,
its paragraphs joined by line breaks; a model with a shorter context reads it in windows that overlap by half, and every
token counts once.

Why not to trust it alone: it is not comparable with published perplexities, which are of the raw version: here rare
words are written <unk>, hyphens and separators " @-@ ", and punctuation stands apart, which no model was trained on.
Compare a model with its edited self; between models with different tokenizers compare `bits_per_byte`, never
`perplexity`. Wikipedia is in every training corpus.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from evenhand.core.case import Case
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import Source, read_lines

FILE = "test.txt"
SOURCE = Source(
    folder="wikitext2",
    licence="CC BY-SA 3.0",
    citation='S. Merity, C. Xiong, J. Bradbury, R. Socher, "Pointer Sentinel Mixture Models", arXiv:1609.07843',
    origin="https://github.com/pytorch/examples, word_language_model/data/wikitext-2",
    pinned={
        FILE: (
            "https://raw.githubusercontent.com/pytorch/examples/77f55b912142e11fcfdf5b530231fb9c52f181e8/"
            f"word_language_model/data/wikitext-2/{FILE}",
            "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
        )
    },
)
_TITLE = re.compile(r" = [^=]*[^= ] = ")


def load(data: Path | None) -> Scenario:
    """Return the articles; raises CannotRun where the file is absent or damaged."""
    articles = _articles(read_lines(data, SOURCE, FILE, blank=True))
    return Scenario(
        name="wikitext",
        cases=tuple(Case(str(i), text, "wikitext", cluster=str(i)) for i, text in enumerate(articles)),
        contexts=(Context("wikitext", "sentence"),),
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        measures=("perplexity", "bits_per_byte", "kl_to_unedited", "top1_agreement"),
        source=f"{SOURCE.folder}/{FILE}",
    )


def _articles(lines: Sequence[str]) -> list[str]:
    """Cut at titles: between blank lines, since the text has formulas that look like one."""
    found: list[list[str]] = []
    for before, line, after in zip(["", *lines], lines, [*lines[1:], ""], strict=False):
        if not found or (_TITLE.fullmatch(line) and not before.strip() and not after.strip()):
            found.append([])
        if line.strip():
            found[-1].append(line.strip())
    return ["\n".join(few) for few in found if few]
