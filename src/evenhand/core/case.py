"""One question put to a model, and what is known about it before the model answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evenhand.core.errors import UsageError

Outcome = Literal["number", "choice", "pair", "text", "sentence", "embedding"]
"""What an answer is: a number, one of several options, which of two (or more) sentences is likelier,
free text, or nothing (`sentence`: the text itself is scored; `embedding`: the vector that stands for it is taken)."""


@dataclass(frozen=True, slots=True)
class Case:
    """A prompt with its place in the scenario.

    `options` are continuations of the prompt (`choice`), whole sentences (`pair`) or what a generated answer (`text`)
    may pick. `answer_prefix` is text the model is made to start its answer with; `name` is the word that signals the
    group, as it stands in the prompt (empty where there is none), so that its tokens can be found.
    """

    id: str
    prompt: str
    context: str
    variation: str = ""
    group: str = ""
    cluster: str = ""
    """Repeats of one cluster are not independent: intervals resample clusters (a name, a word pair, a text)."""
    name: str = ""
    options: tuple[str, ...] = ()
    favourable: int | None = None
    """Index of the favourable (or, for a utility question, the correct) option."""
    answer_prefix: str = ""
    system: str | None = None
    facts: tuple[tuple[str, str], ...] = ()
    """What else a measure must know of the case, as (name, value): the condition, the target term, the label."""
    spans: tuple[tuple[int, int], ...] = ()
    """Characters [start, end). `pair`: of each sentence, what fills its blank; empty where no blank is filled.
    `sentence`: what makes the text what it is (HateCheck's focus words); empty where nothing in it is marked."""
    ending: str = ""
    """Text after every option (a full stop), for masked models only: they judge a word inside a whole sentence."""
    flaw: str = ""
    """Why the item is known to be bad; benchmarks are scored with and without such items."""

    def __post_init__(self) -> None:
        """Raise UsageError for spans that are in none of the texts they may be about."""
        if self.spans and not (
            _inside(self.spans, (self.prompt,) * len(self.spans)) or _inside(self.spans, self.options)
        ):
            raise UsageError(
                f"case {self.id!r}: its spans {self.spans} are not all in its text of {len(self.prompt)} characters"
                + (f" (options: {', '.join(str(len(text)) for text in self.options)})" if self.options else "")
                + "; expected (start, end) with 0 ≤ start < end ≤ the text's length, for options one to each"
            )

    def fact(self, name: str) -> str:
        """Return a fact of this case; empty where it has none of that name."""
        return dict(self.facts).get(name, "")


def _inside(spans: tuple[tuple[int, int], ...], texts: tuple[str, ...]) -> bool:
    """Whether there is one text to each span and it reaches so far."""
    pairs = zip(spans, texts, strict=False)
    return len(spans) == len(texts) and all(0 <= start < end <= len(text) for (start, end), text in pairs)
