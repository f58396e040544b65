"""Which of the options offered a free answer picks: by its letter, or by its words; or that none can be told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from evenhand.core.answer import is_refusal

Outcome = Literal["valid", "refusal", "truncated", "other"]
"""`truncated`: cut off by a limit of tokens before it picked; `other`: it names no option, or several."""

_STRAIGHT = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "*": "", "_": "", "`": "", "#": ""})
_ARTICLE = re.compile(r"(?:the|an?)\s+", re.IGNORECASE)
_CUE = r"\b(?:answer|choice)(?:\s+(?:is|was|would\s+be|should\s+be|must\s+be))?\s*:?\s*(?:option\s+)?"
_CHOOSES = r"(?:option|choose|chose|pick|select|say|go\s+with|it(?:'s|\s+is|\s+was))"
_SAID = re.compile(rf"{_CUE}[\"']?$", re.IGNORECASE)
_DENIED = re.compile(
    r"(?:\bnot|n't|\bneither|\bnor|\bnever|\brather\s+than|\binstead\s+of)\s+(?:be\s+|necessarily\s+)?(?:option\s+)?$",
    re.IGNORECASE,
)
_STOP = re.compile(r"\n|[.;!?](?=\s|$)|\s(?:because|since|given\s+that|as\s+the)\b", re.IGNORECASE)
_OPENS = re.compile(r"(?:^|[\n.;!?])\s*[\"']?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Pick:
    """What an answer to a question with options is; `option` is the index of the one it picks, if it is valid."""

    outcome: Outcome
    option: int | None = None


@dataclass(frozen=True, slots=True)
class _Mention:
    """An option named in the characters [begin, end); `said`: as the answer, not in passing."""

    option: int
    begin: int
    end: int
    said: bool
    cued: bool = False
    """Right after "the answer is" and the like."""


def pick(text: str, ended: bool, options: Sequence[str]) -> Pick:
    """Return which option an answer picks; letters a, b, c … stand for the options in the order they were offered.

    A letter counts where it is marked as one ("(b)", "B.", "B" alone, "the answer is B"), and before words: with words
    of another option right after it nothing is picked. Words are an option's full text, its article and upper case
    aside; where one option's text contains another's, the longer is named. What stands after "the answer is", or else
    in the first clause, decides, or else what is named anywhere; two options there are none. An option that is denied
    ("not the first one") is not named. A text that opens with a refusal is one unless it gives a letter as its answer.
    `ended` is False when the answer was cut off by a limit of tokens.
    """
    plain = text.translate(_STRAIGHT).strip()
    texts = [option.translate(_STRAIGHT).strip().rstrip(".") for option in options]
    letters, words = _letters(plain, len(options)), _words(plain, texts)
    if is_refusal(plain):
        letters = [each for each in letters if each.said]
        words = []
    found = _by_letter(plain, letters, words) if letters else _by_words(plain, words)
    if len(found) == 1:
        chosen = next(iter(found))
        cut = not ended and not letters and _may_go_on(plain, texts, chosen)
        return Pick("truncated") if cut else Pick("valid", chosen)
    if is_refusal(plain):
        return Pick("refusal")
    return Pick("other" if ended or found else "truncated")


def _by_letter(plain: str, letters: Sequence[_Mention], words: Sequence[_Mention]) -> set[int]:
    """Options picked by letter: those said to be the answer and others named in the same clause, or else all.

    After "the answer is" a letter says so; else the first that opens a line does, unless they list what was offered.
    """
    said = [each for each in letters if each.cued] or [each for each in letters if each.said]
    if not said:
        return {each.option for each in letters}
    if not said[0].cued:
        opening = [each.option for each in said]
        if len(opening) > 1 and opening == list(range(len(opening))):
            return set(opening)
        said = said[:1]
    found: set[int] = set()
    for each in said:
        stop = _clause(plain, each.end)
        found |= {other.option for other in letters if each.begin <= other.begin < stop}
        named = {word.option for word in words if each.end <= word.begin < stop}
        if named and each.option not in named:
            found |= named
    return found


def _by_words(plain: str, words: Sequence[_Mention]) -> set[int]:
    """Options picked by their words: those said to be the answer, else those in the first clause, else all."""
    stop = _clause(plain, 0)
    said = {each.option for each in words if each.said}
    return said or {each.option for each in words if each.begin < stop} or {each.option for each in words}


def _clause(plain: str, begin: int) -> int:
    """Return where the clause ends that begins here: what follows it explains, and may name any option."""
    found = _STOP.search(plain, begin)
    return found.start() if found else len(plain)


def _letters(plain: str, n: int) -> list[_Mention]:
    """Return the letters that stand for options, in the order of the text."""
    found: dict[int, _Mention] = {}
    for number, pattern in enumerate(_letter_patterns(n)):
        for match in pattern.finditer(plain):
            begin, option = match.start("letter"), ord(match["letter"].lower()) - ord("a")
            before = plain[: match.start("mark") if number else begin]
            cued = number == 0 or _SAID.search(before) is not None
            if begin not in found and not _DENIED.search(before):
                said = cued or _OPENS.search(before) is not None
                found[begin] = _Mention(option, begin, match.end(), said, cued)
    return sorted(found.values(), key=lambda each: each.begin)


@cache
def _letter_patterns(n: int) -> tuple[re.Pattern[str], ...]:
    """Letters said to be the answer, and marked ones: with a bracket, after "option" and the like, opening a line."""
    letter = f"(?P<letter>[a-{chr(ord('a') + n - 1)}])"
    # "a" and "i" are words too: unless something marks the end of the letter, they count for nothing.
    end = r"(?=\s*(?:$|[\n.,;:!?)\]\"'])|\s+(?:is|because|since|as)\b|\s+-)"
    capital = "(?-i:(?<=[B-HJ-Z]))(?!['\\w])"
    return (
        re.compile(rf"{_CUE}[\"'(\[]?{letter}(?:{end}|{capital})", re.IGNORECASE),
        re.compile(rf"(?P<mark>[(\[]\s*|(?<![\w'])){letter}\s*[)\]]", re.IGNORECASE),
        re.compile(rf"\b(?P<mark>{_CHOOSES}\s+[\"']?){letter}(?:{end}|{capital})", re.IGNORECASE),
        re.compile(rf"(?m)(?P<mark>^[ \t\"']*){letter}(?=[ \t]*(?:$|[).:\"'])|[ \t]+-|,?[ \t]+(?:is|because|since)\b)",
                   re.IGNORECASE),
    )  # fmt: skip


def _words(plain: str, texts: Sequence[str]) -> list[_Mention]:
    """Return where options are named by their full text; a text inside a longer option's is not named."""
    spans = [(m.start(), m.end(), i) for i, text in enumerate(texts) for m in _written(text).finditer(plain)]
    found: list[_Mention] = []
    for begin, end, option in sorted(spans):
        inside = any(a <= begin and end <= b and b - a > end - begin for a, b, _ in spans)
        if not inside and not _DENIED.search(plain[:begin]):
            found.append(_Mention(option, begin, end, _SAID.search(plain[:begin]) is not None))
    return found


@cache
def _written(text: str) -> re.Pattern[str]:
    words = _ARTICLE.sub("", text, count=1) if _ARTICLE.match(text) else text
    body = r"\s+".join(re.escape(word) for word in words.split())
    return re.compile(rf"(?<!\w)(?:(?:the|an?)\s+)?{body}(?!\w)", re.IGNORECASE)


def _may_go_on(plain: str, texts: Sequence[str], chosen: int) -> bool:
    """Whether an answer that was cut off right after an option might have gone on to a longer one."""
    longer = [text for i, text in enumerate(texts) if i != chosen and _written(texts[chosen]).match(text)]
    last = list(_written(texts[chosen]).finditer(plain))[-1:]
    return bool(longer and last and last[0].end() == len(plain))
