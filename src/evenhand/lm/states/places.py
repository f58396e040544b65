"""The token at which a word of a prompt is read: found by text and occurrence, as the model reads the prompt."""

from __future__ import annotations

from dataclasses import dataclass

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.lm.model import LM
from evenhand.lm.states.occurrences import occurrence_of
from evenhand.lm.tokens import check_written, encode, render


@dataclass(frozen=True, slots=True)
class Place:
    """A word in a prompt; what a causal model knows of the word by then stands at its last token."""

    text: str
    """The whole prompt, chat template and beginning of the answer included."""
    ids: tuple[int, ...]
    positions: tuple[int, ...]
    """Of the word's tokens."""
    matched: str
    """The characters that these tokens hold, such as the space before the word."""

    @property
    def position(self) -> int:
        """Of the word's last token."""
        return self.positions[-1]


def place_of(lm: LM, case: Case, word: str, occurrence: int = -1) -> Place:
    """Return where a word stands in a case's prompt, counted as `occurrence_of` does, whose errors it raises.

    What a chat template, a system prompt or the beginning of the answer put around the prompt is not counted. Raises
    UsageError, too, for a word that the tokenizer does not know, CannotRun where the prompt is not in what is asked.
    """
    text = render(lm, case)
    encoded = encode(lm, text)
    found = occurrence_of(text, encoded, word, occurrence, _prompt(lm, case, text))
    check_written(lm, word, [encoded.ids[i] for i in found.positions])
    return Place(text, encoded.ids, found.positions, found.text)


def _prompt(lm: LM, case: Case, text: str) -> tuple[int, int]:
    """The characters of a case's prompt in what the model is asked; the last ones, where edits ask it twice."""
    before = len(text) - len(case.answer_prefix)
    for prompt in (case.prompt, case.prompt.strip()):
        if (start := text.rfind(prompt, 0, before)) >= 0:
            return start, start + len(prompt)
    raise CannotRun(
        f"{lm.identity.source}: its chat template (or an edit of how it is asked) writes {case.prompt!r} in other "
        f"characters ({text!r}), so words of it cannot be found; read it without the template (--no-chat)"
    )
