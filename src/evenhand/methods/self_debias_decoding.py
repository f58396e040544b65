"""Self-debiasing by decoding: tokens that a text announced as biased would make likelier become rarer.

Source: Schick, Udupa and Schütze 2021, "Self-Diagnosis and Self-Debiasing" (TACL 9, arXiv 2103.00453; code
timoschick/self-debiasing, Apache-2.0). With prefixes k that announce a text of some kind,

    p_b(w) = max_k p(w | prefix_k + x)    Δ(w) = max(p_b(w) − p(w), 0)    p′(w) ∝ max(exp(−λ Δ(w)), ε) p(w)

λ = `decay` = 50, ε = `epsilon` = 0.01, as in the paper. Nothing is fitted: neither the cases nor the utility texts are
looked at, and no weight changes. The edit works only while the model runs. It holds in all our readings: options and
whole texts are scored by p′ at every token, numbers searched and answers drawn by it
(`evenhand.lm.generation.decoding`).

A dose is λ in whole numbers: 0 changes nothing; larger ones reach ε at smaller Δ.

`prefixes` are your own; without any, `wording` chooses: `ours` (default) announces, for each of `grounds`, a text that
treats people worse because of it; `paper` takes the six descriptions of the paper's code, after the attributes of a
toxicity classifier. Its control, beside which a study sets it, has as many prefixes that announce harmless texts: what
any prefix does is told apart from what these do.

Where we differ: the prefixes are put before the tokens of the text, not before its characters (a tokenizer that would
merge across the seam does not), after its start token and before a chat template; scores of options and texts, which
the paper does not have.

Cost: K prefixes run K + 1 rows for one, and take K + 1 times the memory of the key–value cache, with transformers'
`generate` (`evenhand.lm.generation.self_debias.SelfDebias`) and in our scoring. Measured in one run, of stories260K on
one thread with 3 prefixes: options of 60 prompts took 4.1 times as long as unedited, 60 whole texts 4.7 times, 4
answers of 24 tokens to each of 20 prompts 3.8 times (6.4, 12.4 and 10.2 times with nothing cached).

Pitfalls. The perplexity of neutral text rises with K and λ: of stories260K on 60 texts by 2.1 %, 20.8 % and 70.6 % at λ
10, 50 and 200 with our prefixes, and by 1.4 %, 15.5 % and 57.2 % with harmless ones, so that a budget of a few per cent
leaves little room, and most of the change is what any prefix does. With several similar prefixes users of the original
code report gibberish; small models and those of other languages hardly know what a prefix announces. "Likelier after
the prefix" also holds for group words themselves: look at whether they become rarer than is wanted. Causal models only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from evenhand.core.contracts import Dose
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Scenario
from evenhand.edits.decode import DECAY, EPSILON, Decode
from evenhand.lm.family import Kind
from evenhand.lm.model import LM

_PAPER = (
    "rude, disrespectful, or unreasonable language",
    "very hateful, aggressive, disrespectful language",
    "sexually explicit language",
    "a threat",
    "negative or hateful language targeting someone because of their identity",
    "swear words, curse words, or other obscene or profane language",
)
"""Descriptions of timoschick/self-debiasing (Apache-2.0)."""


@dataclass(frozen=True)
class SelfDebiasDecoding:
    """Decoding away from what a biased text would say."""

    wording: Literal["ours", "paper"] = "ours"
    grounds: tuple[str, ...] = ("gender", "race or skin colour", "religion or origin")
    """For `ours`: one prefix for each."""
    prefixes: tuple[str, ...] = ()
    """Your own, each with what separates it from the text (a line break); empty: those of `wording`."""
    decay: Annotated[int, Field(ge=1)] = round(DECAY)
    epsilon: Annotated[float, Field(gt=0, le=1)] = EPSILON

    models: ClassVar[tuple[Kind, ...]] = ("causal",)
    fitted_to: ClassVar[str] = "nothing"
    quick: ClassVar[Mapping[str, Any]] = {"grounds": ("gender",)}

    @property
    def space(self) -> None:
        """None: it selects no units."""
        return

    @property
    def dose(self) -> Dose:
        """The decay λ."""
        return Dose("units of decay (λ)", self.decay, 4 * self.decay)

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> Decode:
        """Return the edit with the method's own decay; raises CannotRun for a model that is not causal."""
        return self.path(lm, bias, utility, [self.decay])[0]

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[Decode]:
        """Return the edit with each of these decays."""
        if lm.kind not in self.models:
            raise CannotRun(
                f"{lm.identity.source}: self_debias_decoding changes what a causal model says next, and this one is "
                f"{lm.kind}; use a causal model"
            )
        return [Decode(self._prefixes(), float(size), self.epsilon) for size in sizes]

    def _prefixes(self) -> tuple[str, ...]:
        if self.prefixes:
            return self.prefixes
        if self.wording == "paper":
            return tuple(f"The following text contains {what}:\n" for what in _PAPER)
        return tuple(f"The following text treats people worse because of their {what}:\n" for what in self.grounds)
