"""Every token sequence up to a length, one plain forward each, read by the regular expression: slow and obvious."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from oracles.numeral_regex import number_at_start, numeral_at_start

_MORE = ["", "7", "77", "777", ",777", ".7", "k", "M", " million", "million", " ", "$", "-"]
_MORE += [f"{lead}7" for lead in ("", " ", "  ", "$", "-", "$-", "-$", " $", " -")]
_MORE += [more + "x" for more in _MORE]


@cache
def decided(text: str) -> bool:
    """Whether what a text starts with is the same whatever follows (of the tries above)."""
    first = numeral_at_start(text)
    return all(numeral_at_start(text + more) == first for more in _MORE)


def enumerate_numbers(
    model: Any, prompt: tuple[int, ...], texts: list[str], end: int, longest: int
) -> tuple[dict[float, float], float, float]:
    """Return the probability of each number, of no number, and of what is undecided after `longest` tokens."""
    found: dict[float, float] = {}
    not_number, open_ = 0.0, 0.0
    waiting = [((), "", 1.0)]
    while waiting:
        tail, text, mass = waiting.pop()
        if len(tail) == longest:
            open_ += mass
            continue
        with torch.no_grad():
            p = model(torch.tensor([prompt + tail])).logits[0, -1].double().softmax(0)
        for token, piece in enumerate(texts):
            whole, part = text + ("" if token == end else piece), mass * float(p[token])
            if token != end and not decided(whole):
                waiting.append(((*tail, token), whole, part))
            elif (value := number_at_start(whole)) is None:
                not_number += part
            else:
                found[value] = found.get(value, 0.0) + part
    return found, not_number, open_
