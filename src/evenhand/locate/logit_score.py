"""How much each unit writes of the answer, straight to the logits: the logit-based score of neuron editing.

**A reconstruction.** Yu and Ananiadou, "Understanding and Mitigating Gender Bias in LLMs via Interpretable Neuron
Editing" (arXiv 2501.14457), combine a logit-based with a causal strategy; of that paper only the abstract is certain,
no code is public, and none of its numbers is reproduced here. The score is that of its two bases, which are known:
"Neuron-Level Knowledge Attribution in LLMs" (EMNLP 2024 main.191) and "Comparative Neuron Analysis" (main.193).

With m_k the input of the writer's column v_k at the position that predicts the answer, γ and r the final norm's weight
and 1 / size there (the same for all units), E the output embedding:

- `contrast`: the part of log p(favourable) − mean log p(others): m_k · ⟨v_k, γ r (E_a − E_b)⟩. Exact (of first order
  under Gemma's soft-cap); all layers from one forward pass. For sets of tokens, the mean log-probability of each side;
  for numbers Σ π z of `evenhand.lm.attribution.objective`, over the tokens by which the answers first differ.
- `target`: the part of log p(target), mean over the cases, no groups: log p(w | x + m_k v_k) − log p(w | x), x the
  stream that the writer adds to. First order for all units; the `exact` largest of each case by the full softmax.
- `cna`: that of `target`, difference between two inputs (CNA): the same target after the prompts of two groups.

`contrast` and `cna` are differences between groups, weighted by the gap, or oriented by the stereotype of words
(common_words); see `evenhand.lm.attribution.gaps`. Read at the first token by which answers differ.

Where we differ: a contrast instead of one target by default, because single-gender completions confuse frequency with
bias; signed scores (unsigned ones mix units that pull both ways); hooks on the writers' inputs, which for gated MLPs
are the gated products; nothing of the size of the vocabulary per unit.

Pitfalls: only what is written at the last position counts, so units that act at the name or the word ("nurse") are
not seen (use `contrast` or a causal score for these; `query_neurons` for what feeds attention). Only the first token of
long answers is read. Words of one gender alone mostly find what the model prefers anyway: on two story models and the
professions of common_words, scores of female and of male words correlate at −0.98 and −0.92 (the note
`correlation_of_female_and_male_words`; −0.999 without the neutral prompt), where a stereotype would make it positive.
Units of an encoder score 0: they have no direct path. Masked models are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from evenhand.core.component import Attribution, Space
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.lm.attribution.direct import Parts, direct_parts
from evenhand.lm.attribution.gaps import Leaning, gap_scores, target_scores
from evenhand.lm.attribution.rows import Row
from evenhand.lm.family import Kind
from evenhand.lm.model import LM


@dataclass(frozen=True)
class LogitScore:
    """Score units by what they add straight to the logits of the answers (a reconstruction).

    `space` is `neuron`, `head` or `value` (head × dimension, summed over source positions: the input of the attention
    writer). `kind` is `contrast`, `target` or `cna`. `leaning` chooses, for words with a stereotype, those of one
    gender (against the neutral prompt) or both. `exact` is how many units of each case are scored by the full softmax
    (`target` and `cna`; 0: none).
    """

    models: ClassVar[tuple[Kind, ...]] = ("causal", "encoder-decoder")
    space: Space = "neuron"
    kind: Literal["contrast", "target", "cna"] = "contrast"
    leaning: Leaning = "both"
    exact: Annotated[int, Field(ge=0)] = 0

    def score(self, lm: LM, scenario: Scenario) -> Attribution:
        """Return one score per unit, nats; larger carries more of the gap, or pushes more towards the stereotype.

        Raises CannotRun for masked models and where there is no direct path to the logits, UsageError where a scenario
        has nothing to compare.
        """
        layout = lm.layout(self.space)

        def run(rows: list[Row], take: Callable[[Parts], None]) -> None:
            direct_parts(lm, rows, layout, take, self.exact)

        if self.kind == "target":
            scores, notes = target_scores(lm, scenario, run)
        elif self.kind == "contrast" or scenario.groups:
            scores, notes = gap_scores(lm, scenario, "target" if self.kind == "cna" else "contrast", self.leaning, run)
        else:
            raise UsageError(
                f"scenario {scenario.name!r} has no groups, and 'cna' compares one target after the prompts of two; "
                "use kind 'contrast'"
            )
        return Attribution(layout, scores, "logit_score", {"kind": self.kind, "reconstruction": True} | notes)
