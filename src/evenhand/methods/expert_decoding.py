"""Expert and anti-expert decoding: small models, one trained on anti-biased and one on biased text, move the logits.

Sources: Liu et al. 2021, DExperts (ACL main.522); Tong et al. 2024 (arXiv 2412.01711), who fine-tune a small expert and
anti-expert on RedditBias or StereoSet. At every token

    z′ = z + α (z_fair − z_biased)

with the logits of the model, of `fair` and of `biased` after the same tokens. No weight of the model changes, and
nothing is fitted here: name two models (folders or hub names) that you have fine-tuned from one small base with the
tokenizer of the large one. The swapped sentences of RedditBias are anti-biased text: `studies/run_time_experts.py`
makes two of them. The edit works only while the model runs; it keeps which models they were, and refuses others.

A dose is α in per cent (`strength` is its own): 0 changes nothing.

Where we differ from DExperts: no nucleus is cut before the experts speak, because a token that is ruled out has no
likelihood, and options and texts could not be scored.

Cost: both experts are loaded once, and kept as long as the method or its edits are; both read each text from its start
for every place that is scored; nothing is cached.

Pitfalls. Vocabularies must match exactly, padding of the embeddings included (CannotRun otherwise). Experts trained on
about a thousand sentences learn those by heart: look at perplexity, and at kinds of bias they were not trained on.
There is no random control. Causal models only.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

from pydantic import Field

from evenhand.core.contracts import Dose
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Scenario
from evenhand.edits.experts import Expert, Experts
from evenhand.lm.family import Kind
from evenhand.lm.load import DTypeName
from evenhand.lm.model import LM


@dataclass(frozen=True)
class ExpertDecoding:
    """Logits moved by what a fair small model says more than a biased one."""

    fair: str = ""
    """Folder or hub name of the expert; `${VARIABLES}` come from the environment."""
    biased: str = ""
    """Folder or hub name of the anti-expert."""
    strength: Annotated[int, Field(ge=1)] = 100
    """α in per cent."""
    dtype: DTypeName = "float32"
    """Of the experts."""

    fitted_to: ClassVar[str] = "nothing"

    @property
    def models(self) -> tuple[Kind, ...]:
        """The kinds of model it is for: none until both experts are named."""
        return ("causal",) if self.fair and self.biased else ()

    @property
    def space(self) -> None:
        """None: it selects no units."""
        return

    @property
    def dose(self) -> Dose:
        """α in per cent."""
        return Dose("per cent of strength", self.strength, 4 * self.strength)

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> Experts:
        """Return the edit at its own strength; raises CannotRun without both experts and for models not causal.

        Raises UsageError where both are the same model.
        """
        return self.path(lm, bias, utility, [self.strength])[0]

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[Experts]:
        """Return the edit at each of these strengths, in per cent."""
        if not self.models:
            raise CannotRun(
                "expert_decoding needs two models: name them as `fair` and `biased` (folders or hub names of small "
                "models with the tokenizer of the large one)"
            )
        if lm.kind not in self.models:
            raise CannotRun(
                f"{lm.identity.source}: expert_decoding changes what a causal model says next, and this one is "
                f"{lm.kind}; use a causal model"
            )
        device = str(lm.device)
        if device not in self._loaded:
            self._loaded[device] = self._opened(self.fair, lm), self._opened(self.biased, lm)
        fair, biased = (Expert.of(each) for each in self._loaded[device])
        return [Experts(fair, biased, size / 100, self._loaded) for size in sizes]

    def _opened(self, source: str, lm: LM) -> LM:
        return Expert(os.path.expanduser(os.path.expandvars(source)), dtype=self.dtype).opened(lm)  # noqa: PTH111

    @cached_property
    def _loaded(self) -> dict[str, tuple[LM, LM]]:
        """The two models by device, which all fits and sizes share."""
        return {}
