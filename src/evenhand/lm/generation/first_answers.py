"""What a model itself answers, greedily, before it is asked for good: each text once, kept where work is kept.

Kept in memory for as long as the same edits are applied; and in `LM.workplace`, where there is one, a few answers at a
time, so that a run that is stopped goes on with those it had.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.lm.generation.generate import generate_after
from evenhand.lm.generation.sampling import Sampling
from evenhand.lm.model import LM

_AT_ONCE = 32
"""Texts answered before the answers are written down."""


class FirstAnswers:
    """Greedy answers of at most so many tokens; the same whenever the same text is asked of the same model."""

    def __init__(self, tokens: int) -> None:
        self.sampling = Sampling(samples=1, temperature=0.0, max_new_tokens=tokens)
        self._said: dict[tuple[tuple[object, ...], str], str] = {}

    def after(self, lm: LM, cases: Sequence[Case], texts: Sequence[str]) -> list[str]:
        """Return what the model goes on with after each text.

        Raises CannotRun where a text and its answer do not fit the context, or the workplace cannot be written.
        """
        edits, place = tuple(lm.edits), self._place(lm)
        if place is not None:
            self._said = {(edits, text): said for text, said in _kept(place).items()} | self._said
        missing = {text: case for text, case in zip(texts, cases, strict=True) if (edits, text) not in self._said}
        waiting = [*missing]
        for start in range(0, len(waiting), _AT_ONCE):
            few = waiting[start : start + _AT_ONCE]
            answers = generate_after(lm, [missing[text] for text in few], few, self.sampling)
            new = {text: answer.text for text, (answer,) in zip(few, answers, strict=True)}
            self._said |= {(edits, text): said for text, said in new.items()}
            if place is not None:
                _keep(place, new)
            lm.progress("first answers", min(start + _AT_ONCE, len(waiting)), len(waiting))
        return [self._said[edits, text] for text in texts]

    def _place(self, lm: LM) -> Path | None:
        """Where these answers are kept: named after the model, which no other edit may change, and their length."""
        if lm.workplace is None or len(lm.edits) > 1:
            return None
        about = json.dumps([lm.identity.to_json(), self.sampling.max_new_tokens], sort_keys=True)
        return lm.workplace / f"first-answers-{hashlib.sha256(about.encode()).hexdigest()[:16]}.jsonl"


def _kept(place: Path) -> dict[str, str]:
    """What the file holds; a last line that a kill tore off is not counted."""
    said: dict[str, str] = {}
    for line in place.read_text(encoding="utf-8").splitlines() if place.is_file() else []:
        try:
            text, answer = cast("tuple[Any, Any]", json.loads(line))
        except (ValueError, TypeError):
            continue
        said[str(text)] = str(answer)
    return said


def _keep(place: Path, said: dict[str, str]) -> None:
    lines = "".join(f"\n{json.dumps(pair)}" for pair in said.items())
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("a", encoding="utf-8") as file:
            file.write(lines)
    except OSError as error:
        raise CannotRun(f"{place}: first answers cannot be kept ({error.strerror}); free space there") from error
