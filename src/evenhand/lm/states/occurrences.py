"""Where a word stands in a text, in tokens: found by text, and the matched text checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from evenhand.core.errors import UsageError
from evenhand.lm.model import LM
from evenhand.lm.states.residual import Seen
from evenhand.lm.tokens import Encoded, check_written, encode_all, has_gaps

_BEFORE, _AFTER = ("", " ", "(", '"', "\n"), ("", " ", " z", ".", ",")
"""What may stand before a word and become part of its first token, and after it, of its last one."""


@dataclass(frozen=True, slots=True)
class Found:
    """The tokens of one occurrence of a word, and the text that they cover."""

    positions: tuple[int, ...]
    text: str

    @property
    def last(self) -> int:
        """Position of its last token, which alone has seen the whole word in a causal model."""
        return self.positions[-1]


def occurrence_of(
    text: str, encoded: Encoded, word: str, occurrence: int = -1, within: tuple[int, int] | None = None
) -> Found:
    """Return the tokens of an occurrence of a word in a text (from 0; negative from the end), case counting.

    Only whole words are found, and only `within` these characters, such as the prompt in a chat template. Raises
    UsageError when the word does not occur so often, and when its tokens also cover letters of other words, so that
    their state is not the word's.
    """
    first, end = within or (0, len(text))
    found = re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text)
    starts = [m.start() for m in found if m.start() >= first and m.end() <= end]
    if not word or not -len(starts) <= occurrence < len(starts):
        often = f"{len(starts)} times" if starts else "nowhere"
        raise UsageError(
            f"occurrence {occurrence} of {word!r} was asked for, which stands {often} in {text[first:end]!r} as a "
            "whole word; give a word as it is written there, and an occurrence counted from 0 (-1: the last)"
        )
    start = starts[occurrence]
    places = encoded.covering(start, start + len(word))
    covered = text[encoded.offsets[places[0]][0] : encoded.offsets[places[-1]][1]] if places else ""
    before, spelt, after = covered.partition(word)
    if not spelt or any(sign.isalnum() for sign in before + after):
        raise UsageError(
            f"the tokens of {word!r} in {text!r} cover {covered!r}, which is not that word; choose another word or "
            "sentence for this tokenizer"
        )
    return Found(places, covered)


def forms(lm: LM, word: str) -> tuple[tuple[int, ...], ...]:
    """Return how the tokenizer writes a word: alone, after a space, bracket, quote or line end; also with capitals.

    Raises UsageError for a word with characters that it does not know, or that it writes only together with others.
    """
    if not word.strip() or word != word.strip():
        raise UsageError(f"{word!r} is no word to look for; write it without spaces around it")
    spelt = [*dict.fromkeys((word, word[:1].upper() + word[1:], word.upper()))]
    parts = [(f"a{x}" if x else "", each, y) for each in spelt for x in _BEFORE for y in _AFTER]
    found: dict[tuple[int, ...], None] = {}
    for (before, each, after), encoded in zip(parts, encode_all(lm, ["".join(p) for p in parts]), strict=True):
        places = encoded.covering(len(before), len(before + each))
        if not before + after:
            check_written(lm, each, [encoded.ids[i] for i in places])
        elif not places or has_gaps(before + each + after, encoded):
            continue
        start, end = encoded.offsets[places[0]][0], encoded.offsets[places[-1]][1]
        if not any(sign.isalnum() for sign in before[start:] + after[: max(0, end - len(before + each))]):
            found[tuple(encoded.ids[i] for i in places)] = None
    if not found:
        raise UsageError(f"this tokenizer writes {word!r} only together with other words; choose another one")
    # Offsets of some tokenizers are a character off: a form must spell the word, and no more tokens than that.
    spelling = [form for form in found if _letters(str(lm.tokenizer.decode(form))) == _letters(word)] or [*found]
    return tuple(form for form in spelling if not any(form[:n] in spelling for n in range(1, len(form))))


def _letters(text: str) -> str:
    return "".join(sign for sign in text.casefold() if sign.isalnum())


class Words:
    """Finds, in whatever a model reads, the last token of every occurrence of some words, in any of their forms.

    The last one, because only there it can be told that the word is there, also step by step over a cache. Words inside
    other words are left alone: "ache" in "headache" everywhere, since what stands before is known; "black" in
    "blackboard" where the next token is known when this one is read, in prompts and whole texts. In options and in what
    a causal model writes itself it is not: there a word is found before it goes on, whichever way they are run, and
    likewise where texts that are run as one branch right behind it.
    """

    def __init__(self, lm: LM, words: Sequence[str]) -> None:
        self._lm = lm
        self._words = {form: word for word in words for form in forms(lm, word)}
        self._known: tuple[Seen, Tensor] | None = None
        self._inside: dict[tuple[tuple[int, ...], int, bool], bool] = {}

    def __call__(self, seen: Seen) -> Bool[Tensor, "row pos"]:
        """Return which of the tokens read in this pass are such last ones."""
        if self._known is None or self._known[0] is not seen:
            self._known = seen, self._find(seen)
        return self._known[1]

    def _find(self, seen: Seen) -> Bool[Tensor, "row pos"]:
        ids, places = seen.text
        before, past = _before(places), ids.shape[1] - seen.ids.shape[1]
        hits = torch.zeros_like(ids, dtype=torch.bool)
        for form in self._words:
            here = ids == form[-1]
            here[:, :past] = False
            at = before
            for token in form[-2::-1]:
                here &= (at >= 0) & (ids.gather(1, at.clamp_min(0)) == token)
                at = before.gather(1, at.clamp_min(0)).where(at >= 0, -1)
            row, slot = here.nonzero(as_tuple=True)
            at = at[row, slot]
            ahead = [int(token) for token in torch.where(at >= 0, ids[row, at.clamp_min(0)], -1)]
            behind = self._behind(seen, row, before[row, past:] == slot[:, None])
            whole = [not self._within(form, token, False) and not self._goes_on(form, after)
                     for token, after in zip(ahead, behind, strict=True)]  # fmt: skip
            hits[row, slot] |= torch.tensor(whole, dtype=torch.bool, device=ids.device)
        return hits[:, past:]

    @staticmethod
    def _behind(seen: Seen, row: Int[Tensor, " hit"], here: Bool[Tensor, "hit pos"]) -> list[list[int]]:
        """The tokens read right behind each hit, several where texts branch there; −1 for what comes after a prompt."""
        found: list[list[int]] = [[] for _ in row]
        hit, slot = (here & seen.real[row]).nonzero(as_tuple=True)
        tokens = torch.where(seen.prompt[row[hit], slot], seen.ids[row[hit], slot], -1)
        for i, token in zip(hit, tokens, strict=True):
            found[int(i)].append(int(token))
        return found

    def _goes_on(self, form: tuple[int, ...], after: Sequence[int]) -> bool:
        """Whether the word goes on with whatever comes behind it."""
        return bool(after) and all(self._within(form, token, True) for token in after)

    def _within(self, form: tuple[int, ...], token: int, behind: bool) -> bool:
        """Whether a word's form and the token before (or behind) it are one word; −1: there is none."""
        key = form, token, behind
        if token >= 0 and key not in self._inside:
            joint = [*form, token] if behind else [token, *form]
            text = str(self._lm.tokenizer.decode(joint, clean_up_tokenization_spaces=False))
            word = re.escape(self._words[form])
            pattern = rf"{word}[^\W_]" if behind else rf"[^\W_]{word}"
            self._inside[key] = re.search(pattern, text, re.IGNORECASE) is not None
        return self._inside.get(key, False)


def _before(places: Tensor) -> Tensor:
    """The slot of the token before each: the nearest earlier one whose position is one less; −1 for none.

    Not simply the slot before, because rows may be trees of sequences that begin alike (`evenhand.lm.batches.packed`).
    """
    slot = torch.arange(places.shape[1], device=places.device)
    found = torch.full_like(places, -1)
    found[:, 1:] = torch.where(places[:, :-1] == places[:, 1:] - 1, slot[:-1], -1)
    row, here = ((found < 0) & (places > 0)).nonzero(as_tuple=True)
    fits = (places[row] == places[row, here][:, None] - 1) & (slot < here[:, None])
    found[row, here] = torch.where(fits, slot, -1).amax(-1)
    return found
