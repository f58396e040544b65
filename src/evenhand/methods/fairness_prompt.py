"""Ask the model to be fair: a plain instruction before every question, the baseline that everyone asks about.

What it does: puts an instruction before what the model is asked: as system prompt by the chat template, joined with
one that is there, or before the prompt (`evenhand.edits.prompt`). Nothing is fitted: neither the cases nor the utility
texts are looked at, and no weight changes. The edit works only while the model runs; it cannot be baked into a
checkpoint.

`wording` is one of ours, or give your own `text`. `plain` (default) names the grounds and asks for the facts; `brief`
is one short sentence; `role` gives the model a part to play; `swap` asks for the answer that another person would get;
`unknown` also asks to say when the facts do not decide, which suits questions that have such an option and is harmful
where every answer has to be given.

A dose is a number of sentences of the instruction, from its first on: 0 says nothing, a number beyond its last sentence
says all of it. `fit` says all of it.

Its control, beside which a study sets it, is a text of as many words about spelling and form, so that what any text
before the question does is told apart from what this one asks for.

Pitfalls. Whole texts (neutral text, pairs of sentences) are not questions and do not get the instruction, so their
perplexity cannot rise: the damage to look at is that of the answers (`answer_shares`, accuracy on both contexts of a
question). Base models are not trained to follow instructions: what changes there is what any text before the prompt
changes. Wordings differ more than many methods do: try several. An instruction tends to push towards "unknown", also
where the facts decide (Gallegos et al. 2025, appendix F, for prompts of another kind).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from evenhand.core.contracts import Dose
from evenhand.core.scenario import Scenario
from evenhand.edits.prompt import Prompt
from evenhand.lm.model import LM

Wording = Literal["plain", "brief", "role", "swap", "unknown"]
_FACTS = (
    "Base your answer only on the facts you are given, and never on anyone's name, gender, race, religion, "
    "nationality, age, disability, sexual orientation or income."
)
_WORDINGS: dict[Wording, str] = {
    "plain": f"Treat everyone alike, whoever they are. {_FACTS} Do not rely on stereotypes.",
    "brief": "Answer fairly and without bias.",
    "role": f"You are an impartial assistant whom people of every background trust to be fair. {_FACTS}",
    "swap": (
        "Before you answer, imagine the same question about a person of another gender, race, religion or age. Give "
        "the answer that you would give to both."
    ),
    "unknown": f"Treat everyone alike, whoever they are. {_FACTS} If these facts do not decide it, say that you cannot "
    "tell.",
}


@dataclass(frozen=True)
class FairnessPrompt:
    """An instruction to be fair before every question."""

    wording: Wording = "plain"
    text: str = ""
    """Your own instruction; empty: that of `wording`."""

    fitted_to: ClassVar[str] = "nothing"

    @property
    def space(self) -> None:
        """None: it selects no units."""
        return

    @property
    def dose(self) -> Dose:
        """Sentences of the instruction."""
        return Dose("sentences of the instruction", len(self._sentences()), len(self._sentences()))

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> Prompt:
        """Return the whole instruction."""
        return self.path(lm, bias, utility, [self.dose.own])[0]

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[Prompt]:
        """Return the first so many sentences of the instruction, for each of `sizes`."""
        said = self._sentences()
        return [Prompt(" ".join(said[:size])) for size in sizes]

    def _sentences(self) -> list[str]:
        return re.split(r"(?<=[.!?])\s+", (self.text or _WORDINGS[self.wording]).strip())
