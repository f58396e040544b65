"""Let the model look at a question or at its own answer first, and then ask it for good."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal, final

from torch import Tensor

from evenhand.core.case import Case
from evenhand.core.edit import Edit
from evenhand.core.errors import CannotRun, UsageError
from evenhand.edits._stack import entered
from evenhand.lm.generation.first_answers import FirstAnswers
from evenhand.lm.model import LM
from evenhand.lm.turns import Turns, Writer, asked

Mode = Literal["explanation", "reprompting"]
QUESTION = "{question}"
"""Stands for what is asked."""
_AGAIN = "Look at your answer again and {}. Then answer the same question once more."
_FIRST = "Read this question, but do not answer it yet. Say {}."
ASKS: dict[Mode, str] = {
    "explanation": _FIRST.format(
        "which of its possible answers rest on an assumption about people that the question gives no ground for, and "
        "why"
    ),
    "reprompting": _AGAIN.format("take out any bias that it may have"),
}
"""What is asked first, or again."""
_PLACEBO: dict[Mode, tuple[str, ...]] = {
    "explanation": tuple(
        _FIRST.format(what)
        for what in (
            "which of its words are the longest, how many letters each of them has, and which letter comes most often",
            "how many words it has, which of them begin with a capital letter, and which marks end its sentences",
            "which of its words are spelt alike in American and in British English, and which are not",
        )
    ),
    "reprompting": tuple(
        _AGAIN.format(what)
        for what in (
            "correct any mistake of spelling that it may have",
            "put a full stop where there is none",
            "see that it begins with a capital letter",
        )
    ),
}
"""The same about something else."""


@final
@dataclass(frozen=True, eq=False)
class SelfAsk(Edit):
    """Ask in two turns; what the model says in the first, greedily, stands before the question of the second.

    `explanation`: `ask` with the question (and its options, where it does not name them) comes first; then what it
    says, then the question. `reprompting`: the question comes first; then what it answers, then `ask`. A model without
    chat template reads one text; after `ask` it gets the question again, because it can only go on with one.

    Where an `ask` of an explanation has `{question}` in it, that is where the question goes (else after it); `question`
    is how the question is put when it is to be answered, `{question}` itself unless a text says more.

    Any answer may then be read: the options are scored, and numbers and texts searched or drawn, after both turns. What
    the model says first is at most `tokens` long and is put there as it is, prose or not; 0 tokens ask nothing first.
    Whole texts are no questions and stay as they are. Masked models generate nothing and are refused (CannotRun).
    """

    mode: Mode
    ask: str
    tokens: int = 25
    question: str = QUESTION

    run_time_only = True

    def __post_init__(self) -> None:
        """Refuse what asks nothing."""
        if QUESTION not in self.question:
            raise UsageError(f"the text in which a question is put has no place for it: write {QUESTION} into it")
        if self.mode not in ASKS or not self.ask.strip() or self.tokens < 0:
            raise UsageError(
                f"mode is one of {', '.join(ASKS)} (not {self.mode!r}), ask a text, tokens ({self.tokens}) 0 or more"
            )

    def applied(self, lm: LM) -> AbstractContextManager[None]:
        """Ask so for the length of a `with` block."""
        if lm.kind == "masked":
            raise CannotRun(
                f"{lm.identity.source} is a masked model: it cannot say anything first; use a causal or "
                "encoder–decoder model"
            )
        return entered(lm, self, asked(lm, _Turns(self)) if self.tokens else nullcontext())

    def bake(self, lm: LM) -> None:
        """Raise: there is no weight that does this."""
        raise CannotRun(
            f"this edit ({self.describe()}) works only while the model runs and cannot be baked into weights; ask in "
            "two turns instead"
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return nothing: it is all settings."""
        return {}

    def settings(self) -> dict[str, Any]:
        """Return mode, texts and length."""
        return {"mode": self.mode, "ask": self.ask, "tokens": self.tokens, "question": self.question}

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, Any]) -> SelfAsk:
        """Rebuild from file."""
        return cls(settings["mode"], str(settings["ask"]), int(settings["tokens"]), settings.get("question", QUESTION))

    def control(self, seed: int) -> SelfAsk:
        """Return the same two turns about spelling, length or punctuation."""
        return replace(self, ask=random.Random(seed).choice(_PLACEBO[self.mode]))

    def describe(self) -> str:
        """Return one plain sentence."""
        if not self.tokens:
            return "changes nothing (nothing is asked first)"
        how = (
            f"asks “{self.ask}” first and puts its answer before the question"
            if self.mode == "explanation"
            else f"lets it answer first and then says “{self.ask}”"
        )
        put = "" if self.question == QUESTION else f", puts the question as “{self.question}”"
        return f"{how}{put} (the first answer greedy, at most {self.tokens} tokens; whole texts as they are)"


class _Turns:
    """The way of asking while the edit is applied, with what the model said first."""

    def __init__(self, edit: SelfAsk) -> None:
        self.edit, self.first = edit, FirstAnswers(edit.tokens)

    def __call__(self, lm: LM, cases: Sequence[Case], turns: Sequence[Turns], write: Writer) -> list[Turns]:
        explains, put = self.edit.mode == "explanation", [self._put(each) for each in turns]
        before = [self._first(lm, *each) for each in zip(cases, turns, strict=True)] if explains else put
        begun = ["" if explains else case.answer_prefix for case in cases]
        texts = [text + start for text, start in zip(write(before), begun, strict=True)]
        said = [start + text for start, text in zip(begun, self.first.after(lm, cases, texts), strict=True)]
        return [
            (*first, ("assistant", answer), ("user", self._then(lm, each)))
            for first, answer, each in zip(before, said, put, strict=True)
        ]

    def _put(self, turns: Turns) -> Turns:
        """The question as it is to be answered."""
        *rest, (role, question) = turns
        return (*rest, (role, self.edit.question.replace(QUESTION, question)))

    def _first(self, lm: LM, case: Case, turns: Turns) -> Turns:
        """The first turn of an explanation."""
        *rest, (_, question) = turns
        named = all(option.strip() in question for option in case.options)
        listed = "" if named else f"\nPossible answers: {'; '.join(option.strip() for option in case.options)}"
        ask = self.edit.ask if QUESTION in self.edit.ask else f"{self.edit.ask}\n\n{QUESTION}"
        return (*rest, ("user", f"{ask.replace(QUESTION, question + listed)}{'' if lm.chat else chr(10)}"))

    def _then(self, lm: LM, turns: Turns) -> str:
        """The last turn."""
        question = turns[-1][1]
        if self.edit.mode == "explanation":
            return question
        return self.edit.ask if lm.chat else f"{self.edit.ask}\n\n{question}"
