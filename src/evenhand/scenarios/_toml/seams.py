"""Where texts meet that the model reads one after another: a space too many there changes the tokens that follow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from evenhand.core.case import Outcome
from evenhand.scenarios._toml.lines import KeyPath
from evenhand.scenarios._toml.schema import Problem


def seam_problems(
    asked: Sequence[tuple[KeyPath, str]], options: Sequence[str], outcome: Outcome | None
) -> Iterator[Problem]:
    """Yield a problem for each text before the answer that ends in a space where none belongs.

    `asked` are those texts in order, with their places. A space before an option that begins without one is fine: the
    two are encoded together. A number or a text may itself begin with a space, so nothing is lost without it.
    """
    shown = [(path, text) for path, text in asked if text.strip()]
    for (path, text), (_, after) in pairwise(shown):
        if text.endswith(" ") and after.startswith(" "):
            yield Problem(path, f"ends in a space and the answer prefix begins with one; {_write(text)}")
    if not shown or not shown[-1][1].endswith(" "):
        return
    path, text = shown[-1]
    spaced = [option for option in options if option.startswith(" ")]
    if spaced:
        yield Problem(path, f"ends in a space and the option {spaced[0]!r} begins with one; {_write(text)}")
    elif outcome in ("number", "text"):
        yield Problem(path, f"ends in a space, but most tokenizers join it to the answer; {_write(text)}")


def _write(text: str) -> str:
    return f"let it end in {text.rstrip(' ')[-16:]!r}"
