"""Which shallow neurons feed the attention units that write the answer: the query score of neuron editing.

**A reconstruction**, as `logit_score` is: of Yu and Ananiadou, "Understanding and Mitigating Gender Bias in LLMs via
Interpretable Neuron Editing" (arXiv 2501.14457), only the abstract is certain. The score is that of its basis,
"Neuron-Level Knowledge Attribution in LLMs" (EMNLP 2024 main.191): the `top` attention units a (head × dimension ×
source position) of each case by their logit score, and for every neuron of an earlier MLP

    Q(k) = Σ_a Imp(a) · ⟨m_k v_k, γ_in W_v[a]⟩ / ⟨h, γ_in W_v[a]⟩   at a's source position,

its share of what these units read there, attention and norms held fixed. Imp is that of `logit_score`, kind `contrast`
or `cna`; cases are compared as there (difference between groups weighted by the gap, or oriented by the stereotype).

Where we differ: units are taken by |Imp|, because a contrast has two sides; keys are rows of W_v (the public code
multiplies with columns of the down-projection); the quotient Imp / ⟨h, ·⟩ is replaced by what it is without a bias of
the values, attention · r_in · slope, which is the exact derivative and does not divide by numbers near 0.

Pitfalls: one step back only: what reaches the attention unit through other attention or later MLPs is not followed, and
that a neuron also changes where attention looks (queries and keys) is left out. Masked models are refused, as are
mixtures of experts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from evenhand.core.component import Attribution, Space
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.direct import Parts
from evenhand.lm.attribution.gaps import Leaning, gap_scores
from evenhand.lm.attribution.queries import query_parts
from evenhand.lm.attribution.rows import Row
from evenhand.lm.family import Kind
from evenhand.lm.model import LM


@dataclass(frozen=True)
class QueryNeurons:
    """Score neurons by what they feed, at any position, into the attention units that write the answer.

    `top` is how many attention units of each case are followed. `kind` and `leaning` as in `logit_score`. A
    reconstruction.
    """

    models: ClassVar[tuple[Kind, ...]] = ("causal", "encoder-decoder")
    space: Space = "neuron"
    kind: Literal["contrast", "cna"] = "contrast"
    leaning: Leaning = "both"
    top: Annotated[int, Field(ge=1)] = 30

    def __post_init__(self) -> None:
        """Refuse a space without neurons."""
        if self.space != "neuron":
            raise UsageError(f"query_neurons scores neurons, not units of space {self.space!r}; leave the space out")

    def score(self, lm: LM, scenario: Scenario) -> Attribution:
        """Return one score per neuron, nats; those above every followed attention unit score 0.

        Raises CannotRun for masked models, mixtures of experts, and where there is no direct path to the logits.
        """

        def run(rows: list[Row], take: Callable[[Parts], None]) -> None:
            query_parts(lm, rows, take, self.top)

        wanted = "target" if self.kind == "cna" else "contrast"
        scores, notes = gap_scores(lm, scenario, wanted, self.leaning, run)
        notes = {"kind": self.kind, "top": self.top, "reconstruction": True} | notes
        return Attribution(lm.layout("neuron"), scores, "query_neurons", notes)
