"""Say something to the model before every question it is asked; nothing of its weights changes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor

from evenhand.core.case import Case
from evenhand.core.edit import Edit
from evenhand.core.errors import CannotRun
from evenhand.edits._stack import entered
from evenhand.lm.model import LM
from evenhand.lm.turns import Turns, Writer, asked, with_system

_PLACEBO = (
    "Write in clear and simple English.",
    "Use the spelling that you were taught at school.",
    "Put a full stop at the end of every sentence.",
    "Leave one space between two words, and none before a comma.",
    "Write out a name in the way in which it was written before.",
    "Begin each sentence with a capital letter, and keep the sentences short.",
    "Do not write headings, tables or lists.",
    "Keep to one tense throughout, and to the same kind of quotation marks.",
)
"""What stands in the place of an instruction in its control: about form, so that it asks for nothing in the answer."""


@final
@dataclass(frozen=True, eq=False)
class Prompt(Edit):
    """Put a text before every question while it is applied: a system prompt, or what stands before the prompt.

    With a chat template it is the system turn, before the one that a case brings; without one it stands before the
    prompt, an empty line between. A template that has no system turn is refused (CannotRun). Whole texts are no
    questions: neutral text, sentences set against each other and embeddings do not get it, so their numbers stay those
    of the unedited model. One text nested in another comes first.
    """

    text: str = ""

    run_time_only = True

    def applied(self, lm: LM) -> AbstractContextManager[None]:
        """Ask after this text for the length of a `with` block."""
        return entered(lm, self, asked(lm, self._before) if self.text else nullcontext())

    def _before(self, lm: LM, cases: Sequence[Case], turns: Sequence[Turns], write: Writer) -> list[Turns]:
        return [with_system(each, self.text) for each in turns]

    def bake(self, lm: LM) -> None:
        """Raise: there is no weight that does this."""
        raise CannotRun(
            f"this edit ({self.describe()}) works only while the model runs and cannot be baked into weights; write "
            "the same text before your prompts instead"
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return nothing: it is all settings."""
        return {}

    def settings(self) -> dict[str, Any]:
        """Return the text."""
        return {"text": self.text}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, Any]) -> Prompt:
        """Rebuild from file."""
        return cls(str(settings["text"]))

    def control(self, seed: int) -> Prompt:
        """Return a text about spelling and form of about as many words (at least as many, in whole sentences)."""
        wanted, said = len(self.text.split()), list[str]()
        rng = random.Random(seed)
        while len(" ".join(said).split()) < wanted:
            said += rng.sample(_PLACEBO, 1)
        return Prompt(" ".join(said))

    def describe(self) -> str:
        """Return one plain sentence."""
        if not self.text:
            return "changes nothing (no text)"
        return f"says before every question (not before whole texts): “{self.text}”"
