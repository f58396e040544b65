"""Sequences to run: ids with the places of prompt, answer and name, and the tokens whose log-probability counts."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

from evenhand.core.case import Case
from evenhand.core.errors import UsageError
from evenhand.lm.model import LM
from evenhand.lm.scoring.masked import masked_lines
from evenhand.lm.scoring.texts import text_lines
from evenhand.lm.tokens import Encoded, check_written, continuations, encode, option_places, render


@dataclass(frozen=True, slots=True)
class Target:
    """A token whose log-probability, predicted at `position`, counts with `weight`."""

    position: int
    token: int
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence for one forward pass.

    `ids` go to the model (its encoder, where there is one); `decoder` only to a decoder beside an encoder. The first
    `prompt` of `ids` are the prompt, the rest the answer. In `decoder` the start token counts as prompt: it is what
    the decoder sees before the answer.
    """

    case: int
    """Index of the case it belongs to; several rows may belong to one."""
    ids: tuple[int, ...]
    prompt: int
    name: tuple[int, ...] = ()
    """Positions in `ids` of the tokens that cover the name."""
    decoder: tuple[int, ...] = ()
    targets: tuple[Target, ...] = ()

    @property
    def length(self) -> int:
        """Tokens of the longer of the two sequences."""
        return max(len(self.ids), len(self.decoder))

    def places(self, stack: str, tokens: str) -> Sequence[int]:
        """Return the positions, in the sequence that `stack` sees, of all, prompt, answer or name tokens.

        Of `last` only that of the prompt's last token, which predicts the answer's first.
        """
        in_decoder = bool(self.decoder) and stack == "decoder"
        if tokens == "name":
            return () if in_decoder else self.name
        prompt, end = (1, len(self.decoder)) if in_decoder else (self.prompt, len(self.ids))
        if tokens == "last":
            return range(max(0, prompt - 1), prompt)
        return range(prompt if tokens == "answer" else 0, prompt if tokens == "prompt" else end)


def prompt_rows(lm: LM, cases: Sequence[Case], *, names: bool = False) -> list[Row]:
    """Return one row per case: what the model reads before it answers, without targets.

    With `names`, the places of the name's tokens too (raises UsageError for a case whose name cannot be found).
    """
    rows: list[Row] = []
    for index, case in enumerate(cases):
        text = render(lm, case)
        encoded = encode(lm, text)
        if not encoded.ids:
            raise UsageError(f"case {case.id!r}: its prompt has no tokens")
        name = name_places(case, text, encoded) if names else ()
        rows.append(Row(index, encoded.ids, len(encoded.ids), name, start(lm)))
    return rows


def start(lm: LM) -> tuple[int, ...]:
    """Return what a decoder beside an encoder starts with; nothing for other models."""
    return (int(lm.model.config.decoder_start_token_id),) if lm.kind == "encoder-decoder" else ()


def name_places(case: Case, text: str, encoded: Encoded) -> tuple[int, ...]:
    """Return the positions of all tokens that cover the case's name wherever it stands in the text as a whole word.

    Found by characters, never by token ids: a name may be several tokens, and the first may include the space before.
    """
    if not case.name:
        raise UsageError(f"case {case.id!r} has no name to look for; this needs a scenario whose groups are names")
    spans = [m.span() for m in re.finditer(rf"(?<!\w){re.escape(case.name)}(?!\w)", text)]
    places = sorted({place for start, end in spans for place in encoded.covering(start, end)})
    if not places:
        raise UsageError(f"case {case.id!r}: the name {case.name!r} is not a word of its prompt {text[-120:]!r}")
    return tuple(places)


def continuation_rows(
    lm: LM, case: int, prompt: str, options: Sequence[str], weights: Sequence[float], ends: Sequence[int] = ()
) -> list[Row]:
    """Return rows whose objective is Σ weight · log-likelihood of each option after the prompt.

    `ends` adds to each option a token that has to follow it. Options that need the same tokens before them share a row.
    Masked models: pseudo-log-likelihood, one row per token (`ends` is not for them).
    """
    if lm.kind == "masked":
        return [row for text, w in zip(options, weights, strict=True)
                for row in _masked_rows(lm, case, prompt, text, w)]  # fmt: skip
    after = [(end,) for end in ends] or [()] * len(options)
    rows: list[Row] = []
    if lm.kind == "encoder-decoder":
        ids, first = encode(lm, prompt).ids, start(lm)
        for option, end, weight in zip(options, after, weights, strict=True):
            whole = first + decoder_ids(lm, option) + end
            rows.append(Row(case, ids, len(ids), (), whole[:-1], _targets(whole, len(first), weight)))
        return merged(rows)
    parts = continuations(lm, prompt, options)
    for tail, at, end, weight in zip(parts.tails, parts.first, after, weights, strict=True):
        whole, answer = parts.prefix + tail + end, len(parts.prefix) + at
        rows.append(Row(case, whole[:-1], min(answer, len(whole) - 1), (), (), _targets(whole, answer, weight)))
    return merged(rows)


def sentence_rows(lm: LM, case: int, text: str, weight: float, or_end: bool = True) -> list[Row]:
    """Return rows whose objective is weight · log-likelihood of a whole text, all of it counted as answer.

    `or_end` as in `encode`: true for the sentences of a pair.
    """
    source = encode(lm, "", whole=True).ids if lm.kind == "encoder-decoder" else ()
    rows: list[Row] = []
    for line in text_lines(lm, encode(lm, text, True, or_end)):
        targets = tuple(Target(at, token, weight) for at, token in zip(line.at, line.targets, strict=True))
        if lm.kind == "encoder-decoder":
            rows.append(Row(case, source, len(source), (), line.ids, targets))
        elif targets:
            rows.append(Row(case, line.ids, 0, targets=targets))
    if not rows:
        raise UsageError(f"the text {text!r} has no token that another predicts; use a longer one")
    return rows


def _targets(ids: Sequence[int], first: int, weight: float) -> tuple[Target, ...]:
    """Every token from `first` on, predicted by the one before it."""
    return tuple(Target(i - 1, ids[i], weight) for i in range(first, len(ids)))


def _masked_rows(lm: LM, case: int, prompt: str, option: str, weight: float) -> list[Row]:
    """One row for each token of an option, with that token masked."""
    encoded = encode(lm, prompt + option)
    places = option_places(lm, prompt, option, encoded)
    return [
        Row(case, line.ids, min(places[0], len(line.ids)), targets=(Target(line.at[0], line.targets[0], weight),))
        for line in masked_lines(lm, encoded, places)
    ]


def merged(rows: Sequence[Row]) -> list[Row]:
    """Join rows of a causal decoder where one's tokens begin another's: what it predicts is the same there."""
    kept: list[Row] = []
    for row in sorted(rows, key=lambda row: -row.length):
        for i, longer in enumerate(kept):
            begins = longer.ids[: len(row.ids)] == row.ids and longer.decoder[: len(row.decoder)] == row.decoder
            if begins and longer.case == row.case and (not row.decoder or longer.ids == row.ids):
                prompt = min(longer.prompt, row.prompt)
                kept[i] = dataclasses.replace(longer, prompt=prompt, targets=longer.targets + row.targets)
                break
        else:
            kept.append(row)
    return kept


def decoder_ids(lm: LM, text: str) -> tuple[int, ...]:
    """Return the tokens of a text for a decoder beside an encoder, without start and end tokens; raises Unscorable."""
    ids = tuple(int(i) for i in lm.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    check_written(lm, text, ids)
    return ids
