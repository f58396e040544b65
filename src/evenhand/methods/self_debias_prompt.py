"""Self-debiasing by prompts: the model is asked about invalid assumptions first, or to answer again without bias.

Source: Gallegos et al. 2025, "Self-Debiasing Large Language Models" (NAACL 2025 short 74, arXiv 2402.01981). `mode`:

- `explanation` (default): the model is asked which of the possible answers rest on an assumption that the question
  gives no ground for; what it says stands before the question.
- `reprompting`: the model answers, and is asked to take out any bias and to answer again.

`wording` is `ours` (default), written for this project, or `paper`: its prompts word for word, read from the folder
EVENHAND_DATA (they are not shipped; their licence is CC BY 4.0). The paper's also put the question itself in words of
their own, asking for a single letter, in both turns: they are for scenarios that name letters, such as `bbq_letters`.

Nothing is fitted: neither the cases nor the utility texts are looked at, and no weight changes. The edit
(`evenhand.edits.self_ask`) works only while the model runs. What the model says first is its own, greedy, of at most
`tokens` tokens (25, as in the paper), generated once for each case and kept where a study keeps its work. After both
turns any answer may be read: options are scored, numbers searched, texts drawn. So with options the answers are valid
whatever the model says first, prose included; with generated answers look at the shares of refusals and of no answer
(`answer_shares`).

A dose is the number of tokens of that first answer: 0 asks nothing first, a small number cuts it short. Its control is
the same two turns about spelling, length or punctuation, so that what any second look does is told apart.

Published, GPT-3.5 on 15,556 ambiguous questions of BBQ: bias 0.136 (95 % 0.129 to 0.143), explanation 0.045 (0.040 to
0.050), reprompting 0.023 (0.017 to 0.028); right answers 69.8 %, 83.8 %, 82.1 %.

Where we differ: our wording, unless `paper` is asked for; greedy, not temperature 1; options may be scored instead of
parsed from a letter; a model without chat template reads the turns as one text, with the question again at its end.

Pitfalls. On questions that the context does decide both push towards "unknown" (the paper's appendix F): always ask
both kinds. Refusals, up to 5.1 % there, were left out of the published numbers. Base models do not follow instructions:
what changes is what any text between would change. Whole texts (neutral text, pairs of sentences) are no questions and
stay as they are, so perplexity cannot rise. Each dose is a generation for every case. Not for masked models.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from evenhand.core.contracts import Dose
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Scenario
from evenhand.edits.self_ask import ASKS, QUESTION, Mode, SelfAsk
from evenhand.lm.family import Kind
from evenhand.lm.model import LM
from evenhand.scenarios._data import Source, read_json

_SOURCE = Source(
    folder="self_debias_prompts",
    licence="CC BY 4.0",
    citation='I. O. Gallegos et al., "Self-Debiasing Large Language Models: Zero-Shot Recognition and Reduction of '
    'Stereotypes", NAACL 2025',
    origin="sections 3.2 to 3.4 of arXiv 2402.01981",
)
_FILE, _HOLE = "self_debias_gallegos.json", "{question_and_answers}"
_CONTENTS = "d6d65e6c0ce389f284e7e5e30706a6221a509586cfd5b71fedacff867ae72753"
"""sha256 of what the file holds, as JSON with sorted keys: an edit in the paper's wording is one edit."""


@dataclass(frozen=True)
class SelfDebiasPrompt:
    """Two turns: the model looks at the question, or at its own answer, before it is asked for good."""

    mode: Mode = "explanation"
    wording: Literal["ours", "paper"] = "ours"
    ask: str = ""
    """Your own text for what is asked first (`explanation`) or again (`reprompting`); empty: that of `wording`."""
    tokens: Annotated[int, Field(ge=1)] = 25

    models: ClassVar[tuple[Kind, ...]] = ("causal", "encoder-decoder")
    fitted_to: ClassVar[str] = "nothing"
    quick: ClassVar[Mapping[str, Any]] = {"tokens": 3}

    @property
    def space(self) -> None:
        """None: it selects no units."""
        return

    @property
    def dose(self) -> Dose:
        """Tokens of the first answer."""
        return Dose("tokens of the model's own first answer", self.tokens, 4 * self.tokens)

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> SelfAsk:
        """Return the edit; raises CannotRun for a masked model, and where the paper's prompts are not at hand."""
        return self.path(lm, bias, utility, [self.tokens])[0]

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[SelfAsk]:
        """Return the edit with first answers of at most so many tokens, for each of `sizes`."""
        if lm.kind not in self.models:
            raise CannotRun(
                f"{lm.identity.source}: self_debias_prompt lets the model say something first, and a masked model "
                "generates nothing; use a causal or encoder–decoder model"
            )
        ask, question = self._paper() if self.wording == "paper" else (ASKS[self.mode], QUESTION)
        return [SelfAsk(self.mode, self.ask or ask, size, question) for size in sizes]

    def _paper(self) -> tuple[str, str]:
        """What the paper asks first or again, and how it puts the question."""
        folder = os.environ.get("EVENHAND_DATA")
        try:
            known = read_json(Path(folder) if folder else None, _SOURCE, _FILE)
        except CannotRun as error:
            raise CannotRun(
                f'self_debias_prompt with the paper\'s wording: {error}. `wording = "ours"` needs no file'
            ) from error
        read = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
        if read != _CONTENTS:
            raise CannotRun(
                f"{_SOURCE.folder}/{_FILE}: is not the file of the paper's wording (contents {read[:12]}…, expected "
                f"{_CONTENTS[:12]}…); get it again ({_SOURCE.thanks}), or give your own text by `ask`"
            )
        said: str = known[self.mode][0 if self.mode == "explanation" else 2]
        ask, question = (each.removeprefix("USER: ") for each in (said, known["baseline"][0]))
        return ask.replace(_HOLE, QUESTION), question.replace(_HOLE, QUESTION)
