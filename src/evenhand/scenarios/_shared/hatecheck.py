"""HateCheck's file, and where its templates put the group and the words that make a sentence what it is.

The file names the focus words of every case; they are not always written as they stand in the sentence: "cut ...
throats" has its object between, "violent, cruel" are two, "[SLUR_S]" stands for what fills the template, "-" says that
no word is meant (implicit derogation). What is looked for is each part as one phrase, then its words in order, then the
phrase inside longer words (templates whose spaces were taken out on purpose).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from evenhand.core.spans import Span, Spans, joined, standing
from evenhand.scenarios._data import Source

FILE = "test_suite_cases.csv"
SOURCE = Source(
    folder="hatecheck",
    licence="CC BY 4.0",
    citation="P. Röttger, B. Vidgen, D. Nguyen, Z. Waseem, H. Margetts, J. B. Pierrehumbert, "
    '"HateCheck: Functional Tests for Hate Speech Detection Models", ACL 2021',
    origin=f"https://github.com/paul-rottger/hatecheck-data, {FILE}",
    pinned={
        FILE: (
            "https://raw.githubusercontent.com/paul-rottger/hatecheck-data/d84302298ceeb34f4b0dde2d8a1f4932c2caa612/"
            + FILE,
            "ecf0dc1e93fccc90b6f880e632b19e635c0f0a68b3157915a9e20b6938f121cf",
        )
    },
)
NEUTRAL = ("ident_neutral_nh", "ident_pos_nh")
"""Functions whose sentences are taken as neutral."""
COLUMNS = ("functionality", "case_id", "test_case", "label_gold", "target_ident?", "templ_id", "case_templ",
            "focus_words")  # fmt: skip
_SLOT = re.compile(r"\[(IDENTITY|SLUR)_[SPA](?:_\w+)?\]")


def filled(text: str, template: str) -> dict[str, list[Span]]:
    """Return where the slots IDENTITY and SLUR of a template are filled in a text; nothing where it does not fit."""
    text, template = text.strip(), template.strip()
    pattern, slots, last = "", list[str](), 0
    for slot in _SLOT.finditer(template):
        # "a [IDENTITY_S]" became "an immigrant"
        before = re.sub(r"(?<!\w)([Aa])\\ $", r"\1n?\\ ", re.escape(template[last : slot.start()]))
        pattern += f"{before}(.+?)"
        slots.append(slot.group(1))
        last = slot.end()
    found = re.fullmatch(pattern + re.escape(template[last:]), text, re.IGNORECASE)
    spans: dict[str, list[Span]] = {"IDENTITY": [], "SLUR": []}
    for i, slot in enumerate(slots if found else ()):
        spans[slot].append(found.span(i + 1) if found else (0, 0))
    return spans


def focus(text: str, template: str, words: str) -> Spans:
    """Return where the focus words of a case stand in its text; none where no word is meant."""
    slots = filled(text, template)
    spans: list[Span] = []
    start = 0
    for part in re.split(r"\.\.\.|,", words):
        part = part.strip()
        if _SLOT.fullmatch(part):
            spans.extend(slots["SLUR"])
        elif part not in ("", "-"):
            found = list(_phrase(text, part, start)) or list(_phrase(text, part, 0))
            start = found[-1][1] if found else start
            spans.extend(found)
    return joined(spans)


def _phrase(text: str, phrase: str, start: int) -> Iterator[Span]:
    """Yield the first place of a phrase from a character on, or of its words in order."""
    for wanted in (phrase, *([] if " " not in phrase else phrase.split())):
        whole = [span for span in standing(text, wanted) if span[0] >= start]
        inside = text.lower().find(wanted.lower(), start)
        if not whole and inside < 0:
            continue
        yield whole[0] if whole else (inside, inside + len(wanted))
        if wanted == phrase:
            return
        start = whole[0][1] if whole else inside + len(wanted)
