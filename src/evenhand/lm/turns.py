"""What a model is asked, turn by turn, what edits make of it, and how it is written down.

While an edit stands in `LM.asking`, every case is asked its way, whichever answer is then read: options, numbers or
texts. Whole texts (neutral text, sentences set against each other, embeddings) are not asked anything: they get none of
it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun

if TYPE_CHECKING:
    from evenhand.lm.model import LM

Turn = tuple[Literal["system", "user", "assistant"], str]
Turns = tuple[Turn, ...]
Writer = Callable[[Sequence[Turns]], list[str]]
"""Writes turns down as the edits applied later ask them."""


class Asking(Protocol):
    """A way of asking: what is asked of each case becomes other turns."""

    def __call__(self, lm: LM, cases: Sequence[Case], turns: Sequence[Turns], write: Writer) -> list[Turns]:
        """Return the turns that are asked instead; `write` is for turns that the model is to answer first."""
        ...


@contextmanager
def asked(lm: LM, way: Asking) -> Generator[None]:
    """Ask this way for the length of a `with` block, after what is applied already."""
    before = lm.asking
    lm.asking = (*before, way)
    try:
        yield
    finally:
        lm.asking = before


def as_asked(lm: LM, cases: Sequence[Case], turns: Sequence[Turns], ways: Sequence[Asking]) -> list[Turns]:
    """Return what is asked of each case once all these ways have had their turn, the first applied first."""
    asked = list(turns)
    for i, way in enumerate(ways):

        def write(first: Sequence[Turns], rest: Sequence[Asking] = ways[i + 1 :]) -> list[str]:
            return [written(lm, each) for each in as_asked(lm, cases, first, rest)]

        asked = way(lm, cases, asked, write)
    return asked


def opening(case: Case) -> Turns:
    """Return what a case asks by itself."""
    return (*((("system", case.system),) if case.system else ()), ("user", case.prompt))


def with_system(turns: Turns, text: str) -> Turns:
    """Return the turns with a system prompt; where there is one, it comes before that, in the same turn."""
    if turns and turns[0][0] == "system":
        return (("system", f"{text}\n\n{turns[0][1]}"), *turns[1:])
    return (("system", text), *turns)


def written(lm: LM, turns: Turns) -> str:
    """Return the turns as the model reads them: by its chat template, or one after another.

    Without a template an answer follows its question as it was generated, and an empty line stands before what comes
    next. Raises CannotRun where the template refuses the turns, or leaves the system prompt out.
    """
    if not lm.chat:
        return "".join(("" if i == 0 or role == "assistant" else "\n\n") + text for i, (role, text) in enumerate(turns))
    given = [{"role": role, "content": text} for role, text in turns]
    try:
        text: Any = lm.tokenizer.apply_chat_template(given, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # jinja raises its own errors from inside a template
        raise CannotRun(
            f"the chat template of {lm.identity.source} refused the prompt ({error}); it may not allow a system prompt"
        ) from error
    if turns[0][0] == "system" and turns[0][1].strip() not in text:
        raise CannotRun(
            f"the chat template of {lm.identity.source} leaves the system prompt out, so the model would never read "
            "it; write it into the question, or use a model whose template has a system turn"
        )
    return str(text)
