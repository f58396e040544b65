"""The text of every token, and what each token does to a numeral: tables made once per tokenizer and shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Int
from torch import Tensor

from evenhand.core.errors import CannotRun
from evenhand.core.numeral import END, Move, move
from evenhand.lm.model import LM
from evenhand.lm.tokens import end_ids

OPAQUE = "\N{REPLACEMENT CHARACTER}"
"""Text of a token that has none of its own (a lone byte, an id past the tokenizer): it continues no numeral."""
_SPELLED = "$1,250"


@dataclass(frozen=True, eq=False)
class Table:
    """What the tokens of a vocabulary do to one shape of numeral.

    Most tokens do the same thing, `usual`; `others` and `group` list those that end or reject otherwise, `kinds[group]`
    saying how (a move, and the piece of text it settles). `going_on` are the tokens after which it is still undecided.
    """

    usual: tuple[Move, str]
    others: Int[Tensor, " other"]
    group: Int[Tensor, " other"]
    kinds: tuple[tuple[Move, str], ...]
    going_on: Int[Tensor, " token"]


@dataclass(eq=False)
class Vocabulary:
    """Texts of all output ids, the ids that end an answer, and the tables made so far."""

    texts: tuple[str, ...]
    ends: frozenset[int]
    anchor: int
    tokenizer: Any
    _tables: dict[tuple[str, torch.device], Table] = field(default_factory=dict[tuple[str, torch.device], Table])
    _by_start: dict[str, list[int]] = field(default_factory=dict[str, list[int]])

    def __post_init__(self) -> None:
        for token, text in enumerate(self.texts):
            self._by_start.setdefault(END if token in self.ends else text[:2], []).append(token)

    def text(self, tokens: Sequence[int]) -> str:
        """Return the text of an answer as the tokenizer spells it (bytes joined), without end tokens."""
        return _after(self.tokenizer, self.anchor, [token for token in tokens if token not in self.ends])

    def pieces(self, tokens: Sequence[int]) -> str:
        """Return the texts of the tokens one after another, as the tables see them, without end tokens."""
        return "".join(self.texts[token] for token in tokens if token not in self.ends)

    def table(self, shape: str, device: torch.device) -> Table:
        """Return the table of one shape; made on first use."""
        key = shape, device
        if key not in self._tables:
            self._tables[key] = self._make(shape, device)
        return self._tables[key]

    def _make(self, shape: str, device: torch.device) -> Table:
        going_on: list[int] = []
        stopping: dict[tuple[Move, str], list[int]] = {}
        for start, tokens in self._by_start.items():
            begun = move(shape, start)
            for token in tokens if begun.shape else ():
                made = begun if len(self.texts[token]) < 3 else move(shape, self.texts[token])
                if made.shape:
                    going_on.append(token)
                else:
                    stopping.setdefault((made, self.texts[token][: made.settled or 0]), []).append(token)
            if not begun.shape:
                stopping.setdefault((begun, start[: begun.settled or 0]), []).extend(tokens)
        usual = max(stopping, key=lambda kind: len(stopping[kind]))
        kinds = tuple(kind for kind in stopping if kind != usual)
        others = [token for kind in kinds for token in stopping[kind]]
        group = [i for i, kind in enumerate(kinds) for _ in stopping[kind]]
        return Table(usual, _ids(others, device), _ids(group, device), kinds, _ids(going_on, device))


def _ids(tokens: list[int], device: torch.device) -> Int[Tensor, " token"]:
    return torch.tensor(tokens, dtype=torch.long, device=device)


_KNOWN: WeakKeyDictionary[LM, Vocabulary] = WeakKeyDictionary()


def vocabulary(lm: LM) -> Vocabulary:
    """Return the vocabulary of a model; made once per model."""
    if lm not in _KNOWN:
        _KNOWN[lm] = _read(lm)
    return _KNOWN[lm]


def _read(lm: LM) -> Vocabulary:
    tokenizer = lm.tokenizer
    size, known = int(lm.head.weight.shape[0]), len(tokenizer)
    anchor = int(tokenizer("x", add_special_tokens=False)["input_ids"][-1])
    base = _decode(tokenizer, [[anchor]])[0]
    texts = _decode(tokenizer, [[anchor, token] for token in range(min(size, known))])
    own = [text[len(base) :] if text.startswith(base) else "" for text in texts]
    own += [""] * (size - len(own))
    return Vocabulary(tuple(text or OPAQUE for text in own), end_ids(lm), anchor, tokenizer)


def _decode(tokenizer: Any, rows: list[list[int]]) -> list[str]:
    return tokenizer.batch_decode(rows, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def _after(tokenizer: Any, anchor: int, tokens: list[int]) -> str:
    base, whole = _decode(tokenizer, [[anchor], [anchor, *tokens]])
    return whole[len(base) :]


def check_spells_numbers(lm: LM) -> None:
    """Raise CannotRun where numbers cannot be read from this model's own text, naming the reason."""
    if lm.kind == "masked":
        raise CannotRun(
            f"{lm.identity.source} is a masked model: it writes no answers, so it has no numeric outcomes; use outcome "
            "'choice' or 'pair', or a causal or encoder–decoder model"
        )
    ids = lm.tokenizer(_SPELLED, add_special_tokens=False)["input_ids"]
    spelled = lm.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    if spelled != _SPELLED:
        raise CannotRun(
            f"the tokenizer of {lm.identity.source} cannot spell numbers: {_SPELLED!r} encoded and decoded becomes "
            f"{spelled!r} (as WordPiece tokenizers do), so digits of one number and of two cannot be told apart; use "
            "outcome 'choice', or a model with a byte-level or SentencePiece tokenizer"
        )
