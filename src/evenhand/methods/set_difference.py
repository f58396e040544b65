"""Prune what writes much for the minority group but not for the majority group (set difference).

Paper: Ma, Salinas, Henderson, Nyarko, "Breaking Down Bias: On the Limits of Generalizable Pruning Strategies", FAccT
2025 (arXiv 2502.07771), after the set difference of Wei et al. 2024 (arXiv 2402.05162).

What it does: scores every unit on the prompts of each group and switches off P = Top_τmin(S_minority) − Top_τmaj(
S_majority), the tops taken over all layers jointly. Neurons: S_n = mean over tokens of |act(gate x)·up x|_n ·
‖down[:, n]‖₂, mean over names. Heads: S_h = largest attention from a position after the name to a name token in the
prompt, mean over names.

Defaults (third-party transcription of the paper): neurons τ = 0.40 / 0.35; heads 40 / 5 of Llama-3-8B's 1,024, kept as
shares so that smaller models lose the same part (at least one). The first group is the majority, the others are
minorities (their sets are united). `prune = "majority"` swaps the two. `less = "utility"` subtracts the top on the
utility texts instead, as Wei et al. do.

Several variations: `combine = "intersection"` (the paper's general sets: in P for every variation), `"vote"` (in P for
at least `votes` of them) or `"pooled"` (one score over all cases). `path` gives the sets that lie between: with τmaj
fixed, it finds for each size the τmin at which that many units are in P.

Differs from the paper: prompts only, no own answer, for the neuron score (`tokens` changes that); heads in proportion.
Pitfalls: nothing here looks at the outcome, so a unit in P need not carry bias; at least τmin − τmaj of the space goes
(5 % of all neurons by default), which a small model may not survive; intersections shrink as variations are added, so
"weaker" may only mean "fewer units"; names of more tokens raise a head's largest attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from evenhand.core.component import Attribution, Selection, Space
from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.core.select import top
from evenhand.edits.scale import Mechanism, Scale
from evenhand.lm.model import LM
from evenhand.lm.objective import cells
from evenhand.locate.activation_norm import ActivationNorm
from evenhand.locate.name_attention import NameAttention


@dataclass(frozen=True)
class SetDifference:
    """Top for the minority minus top for the majority; τ below 1 is a share of the space, from 1 on a count."""

    space: Space = "neuron"
    neuron_minority: float = 0.40
    neuron_majority: float = 0.35
    head_minority: float = 40 / 1024
    head_majority: float = 5 / 1024
    prune: Literal["minority", "majority"] = "minority"
    less: Literal["majority", "utility"] = "majority"
    combine: Literal["intersection", "vote", "pooled"] = "intersection"
    votes: int = 0
    """For `vote`: in how many variations a unit must be chosen; 0 is a majority of them."""
    tokens: Literal["prompt", "answer", "all"] = "prompt"
    factor: float = 0.0
    mechanism: Mechanism = "weight"
    """`activation` where the model's weights are offloaded or quantised (the neuron scores need them in memory)."""

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> Scale:
        """Return the paper's edit at τmin and τmaj."""
        need = max(1, self._count(lm, self.neuron_minority, self.head_minority))
        reached = self._reached(lm, bias, utility)
        edit = self._edit(Selection(lm.layout(self.space), reached < need))
        if not len(edit.selection):
            lm.notify(
                "set_difference: no unit is left; fewer variations, a larger τ for the minority, or combine 'vote'"
            )
        return edit

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[Scale]:
        """Return the edits that τmin would give at these sizes; raises when too few units lie outside the other top."""
        reached = self._reached(lm, bias, utility)
        possible = int(reached.isfinite().sum())
        if max(sizes, default=0) > possible:
            raise UsageError(
                f"set_difference: asked for {max(sizes)} units, but only {possible} of {len(reached)} lie outside the "
                f"top of {'the utility texts' if self.less == 'utility' else 'the other group'} in enough variations"
            )
        order = torch.argsort(reached, stable=True)
        return [self._edit(Selection.of(lm.layout(self.space), order[:size])) for size in sizes]

    def _edit(self, selection: Selection) -> Scale:
        return Scale(selection, self.factor, self.mechanism)

    def _reached(self, lm: LM, bias: Scenario, utility: Scenario) -> Float[Tensor, " unit"]:
        """For each unit the number of units τmin must admit before it is in P; infinite if it never is."""
        protected = self._top(self._scores(lm, utility, "the utility texts"), lm) if self.less == "utility" else None
        whole = list(cells(bias))
        parts = [bias] if self.combine == "pooled" else whole
        votes = {"pooled": 1, "intersection": len(parts), "vote": self.votes or len(parts) // 2 + 1}[self.combine]
        if not 1 <= votes <= len(parts):
            raise UsageError(f"set_difference: {votes} votes asked for, there are {len(parts)} variations")
        ranks = torch.stack([self._one(lm, part, protected) for part in parts])
        return ranks.kthvalue(votes, dim=0).values

    def _one(self, lm: LM, part: Scenario, protected: Tensor | None) -> Float[Tensor, " unit"]:
        """The same for one variation: rank by the pruned group's score, infinite inside the protected top."""
        reference = part.groups[0]
        scores = {
            group: self._scores(lm, part.where(lambda case, g=group: case.group == g), f"group {group!r}")
            for group in dict.fromkeys(case.group for case in part.cases)
        }
        found: list[Tensor] = []
        for other in (group for group in scores if group != reference):
            pruned, kept = (other, reference) if self.prune == "minority" else (reference, other)
            rank = torch.empty(len(scores[pruned]))
            order = torch.argsort(scores[pruned].nan_to_num(nan=-torch.inf), descending=True, stable=True)
            rank[order] = torch.arange(len(rank)).float()
            outside = rank.masked_fill(self._top(scores[kept], lm) if protected is None else protected, torch.inf)
            found.append(outside.masked_fill(scores[pruned].isnan(), torch.inf))
        return torch.stack(found).amin(0)

    def _count(self, lm: LM, neuron: float, head: float) -> int:
        """τ of the space at hand as a number of units."""
        tau, size = head if self.space == "head" else neuron, lm.layout(self.space).size
        if not 0 <= tau <= size:
            raise UsageError(f"set_difference: τ = {tau:g} is neither a share nor a number of the {size} {self.space}s")
        return int(tau if tau >= 1 else tau * size)

    def _top(self, scores: Float[Tensor, " unit"], lm: LM) -> Bool[Tensor, " unit"]:
        """The protected units: the τmaj highest."""
        count = self._count(lm, self.neuron_majority, self.head_majority)
        return top(Attribution(lm.layout(self.space), scores), count=count).mask

    def _scores(self, lm: LM, part: Scenario, whose: str) -> Float[Tensor, " unit"]:
        if not part.cases:
            raise UsageError(f"set_difference: there are no cases of {whose}")
        if self.space == "head":
            return NameAttention().score(lm, part).scores
        return ActivationNorm(self.space, tokens=self.tokens).score(lm, part).scores
