"""Prune what writes much for the minority group but not for the majority group (set difference).

Paper: Ma, Salinas, Henderson, Nyarko, "Breaking Down Bias: On the Limits of Generalizable Pruning Strategies", FAccT
2025 (arXiv 2502.07771), after the set difference of Wei et al. 2024 (arXiv 2402.05162).

What it does: scores every unit on the prompts of each group and switches off P = Top_τmin(S_minority) − Top_τmaj(
S_majority), the tops taken over all layers jointly. Neurons: S_n = mean over tokens of |act(gate x)·up x|_n ·
‖down[:, n]‖₂, mean over names. Heads: S_h = largest attention from a position after the name to a name token in the
prompt, mean over names.

Defaults (third-party transcription of the paper): neurons τ = 0.40 / 0.35; heads 40 / 5 of Llama-3-8B's 1,024, kept as
shares so that smaller models lose the same part (at least one unit is protected, and one more admitted). The first
group is the majority, the others are minorities (their sets are united). `prune = "majority"` swaps the two. `less =
"utility"` subtracts the top on the utility texts instead, as Wei et al. do.

The authors' code is older than the paper and differs. Neurons: `mode = "code"`, `tokens = "all"`, τ = 0.15 / 0.15;
S_n = sqrt(1/N Σ_prompts Σ_tokens a_n²) · ‖down[:, n]‖₂ over prompt and own answer, tops in every layer by itself (the
code goes on to single weights; this is its formula per unit). Heads: `groups = "sum"`, `reduce = "mean"`, `positions =
"generation"`; mean attention from the positions that generate the model's own answer to the name, and no difference:
one after another, the head with the largest sum over the groups is switched off, all being scored again each time.

Several variations: `combine = "intersection"` (the paper's general sets: in P for every variation), `"vote"` (in P for
at least `votes` of them) or `"pooled"` (one score over all cases). The paper's *specific* sets are of one prompt: fit
on a single variation, which a study writes as `fitted_on = ["purchase/bicycle"]`. `path` gives the sets that lie
between: with τmaj fixed, it finds for each size the τmin at which that many units are in P.

Differs from the paper: prompts only, no own answer, for the neuron score (`tokens` changes that); heads in proportion.
Pitfalls: nothing here looks at the outcome, so a unit in P need not carry bias; at least τmin − τmaj of the space goes
(5 % of all neurons by default), which a small model may not survive; intersections shrink as variations are added, so
"weaker" may only mean "fewer units"; names of more tokens raise a head's largest attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, cast

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from evenhand.core.component import Selection, Space
from evenhand.core.errors import UsageError
from evenhand.core.highest import count_of
from evenhand.core.scenario import Scenario
from evenhand.edits.scale import Factor, Mechanism, Scale
from evenhand.lm.model import LM
from evenhand.locate._sides import Combine, Prune, by_group, parts_of, sides, votes_needed
from evenhand.locate.activation_norm import ActivationNorm
from evenhand.locate.name_attention import NameAttention

Tau = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class SetDifference:
    """Top for the minority minus top for the majority; τ below 1 is a share of the space, from 1 on a count."""

    space: Space = "neuron"
    neuron_minority: Tau = 0.40
    neuron_majority: Tau = 0.35
    head_minority: Tau = 40 / 1024
    head_majority: Tau = 5 / 1024
    prune: Prune = "minority"
    less: Literal["majority", "utility"] = "majority"
    combine: Combine = "intersection"
    votes: Annotated[int, Field(ge=0)] = 0
    """For `vote`: in how many variations a unit must be chosen; 0 is a majority of them."""
    mode: Literal["paper", "code"] = "paper"
    """Neurons: mean size and one top over all layers, or the authors' code: norm per prompt and a top in every layer
    (τ of it)."""
    tokens: Literal["prompt", "answer", "all"] = "prompt"
    """Neurons: where they are scored; `answer` is the unedited model's own."""
    reduce: Literal["max", "mean"] = "max"
    """Heads: over looking positions and tokens of the name."""
    positions: Literal["prompt", "generation"] = "prompt"
    """Heads: looking from the prompt after the name, or from where the own answer is generated."""
    groups: Literal["difference", "sum"] = "difference"
    """Heads: `sum` takes them one after another by the sum over the groups, and protects none."""
    factor: Factor = 0.0
    mechanism: Mechanism = "weight"
    """`activation` where the model's weights are offloaded or quantised (the neuron scores need them in memory)."""

    def __post_init__(self) -> None:
        """Refuse `sum` where it has no meaning."""
        if self.groups == "sum" and (self.space != "head" or (self.prune, self.less) != ("minority", "majority")):
            raise UsageError(
                "set_difference: groups 'sum' takes heads by what all groups have in common and protects none, so it "
                "needs space 'head' and neither prune nor less; use groups 'difference' otherwise"
            )

    def fit(self, lm: LM, bias: Scenario, utility: Scenario) -> Scale:
        """Return the paper's edit at τmin and τmaj."""
        need = self._admitted(lm)
        reached = self._reached(lm, bias, utility, int(need.max()))
        edit = self._edit(Selection.where(lm.layout(self.space), reached < need))
        if not len(edit.selection):
            lm.notify(
                "set_difference: no unit is left; fewer variations, a larger τ for the minority, or combine 'vote'"
            )
        return edit

    def path(self, lm: LM, bias: Scenario, utility: Scenario, sizes: Sequence[int]) -> list[Scale]:
        """Return the edits that τmin would give at these sizes; raises when too few units lie outside the other top."""
        layout = lm.layout(self.space)
        # In a set shared by several variations a unit may be the first in one and the last in another.
        rounds = max(sizes, default=0) if len(parts_of(bias, self.combine)) == 1 else layout.size
        reached = self._reached(lm, bias, utility, min(rounds, layout.size))
        possible = int(reached.isfinite().sum())
        if max(sizes, default=0) > possible:
            raise UsageError(
                f"set_difference: asked for {max(sizes)} units, but only {possible} of {len(reached)} lie outside the "
                f"top of {'the utility texts' if self.less == 'utility' else 'the other group'} in enough variations"
            )
        order = torch.argsort(reached / self._sizes(lm), stable=True)
        return [self._edit(Selection.of(layout, order[:size])) for size in sizes]

    def _edit(self, selection: Selection) -> Scale:
        return Scale(selection, self.factor, self.mechanism)

    def _reached(self, lm: LM, bias: Scenario, utility: Scenario, rounds: int) -> Float[Tensor, " unit"]:
        """For each unit the number of units τmin must admit before it is in P; infinite if it never is.

        Heads that are taken one after another are known up to the number of `rounds`.
        """
        protected = None
        if self.less == "utility":
            protected = self._top(self._scores(lm, utility, "the utility texts"), lm)
        parts = parts_of(bias, self.combine)
        votes = votes_needed(self.combine, self.votes, len(parts))
        if self.groups == "sum":
            ranks = [self._one_by_one(lm, part, rounds) for part in parts]
        else:
            ranks = [self._apart(lm, part, protected) for part in parts]
        return torch.stack(ranks).kthvalue(votes, dim=0).values

    def _apart(self, lm: LM, part: Scenario, protected: Tensor | None) -> Float[Tensor, " unit"]:
        """The same for one variation: rank by the pruned group's score, infinite inside the protected top."""
        scores = self._by_group(lm, part)
        found: list[Tensor] = []
        for pruned, kept in sides(part, self.prune):
            safe = self._top(scores[kept], lm) if protected is None else protected
            found.append(self._ranks(scores[pruned], lm).masked_fill(safe, torch.inf))
        return torch.stack(found).amin(0)

    def _one_by_one(self, lm: LM, part: Scenario, rounds: int) -> Float[Tensor, " unit"]:
        """The round in which each head has the largest sum over the groups, those of earlier rounds being off."""
        layout = lm.layout(self.space)
        taken: list[int] = []
        for _ in range(rounds):
            with self._edit(Selection.of(layout, taken)).applied(lm):
                total = torch.stack(list(self._by_group(lm, part).values())).sum(0)
            total[taken] = -torch.inf
            taken.append(int(torch.argsort(total, descending=True, stable=True)[0]))
        place = torch.full((layout.size,), torch.inf)
        place[taken] = torch.arange(len(taken)).float()
        return place

    def _by_group(self, lm: LM, part: Scenario) -> dict[str, Float[Tensor, " unit"]]:
        return {group: self._scores(lm, own, f"group {group!r}") for group, own in by_group(part).items()}

    def _pools(self, lm: LM, scores: Float[Tensor, " unit"]) -> list[Float[Tensor, " some"]]:
        """Split scores into those among which a top is taken: every layer's, or all together."""
        if self.mode == "code" and self.space == "neuron":
            return [part for _, part in lm.layout(self.space).split(scores)]
        return [scores]

    def _sizes(self, lm: LM) -> Float[Tensor, " unit"]:
        """Return for each unit how many there are in its pool."""
        pools = self._pools(lm, torch.zeros(lm.layout(self.space).size, dtype=torch.float64))
        return torch.cat([torch.full_like(pool, len(pool)) for pool in pools])

    @property
    def _taus(self) -> tuple[float, float]:
        """τmin and τmaj of the space at hand."""
        if self.space == "head":
            return self.head_minority, self.head_majority
        return self.neuron_minority, self.neuron_majority

    def _count(self, lm: LM, tau: float) -> Float[Tensor, " unit"]:
        """A τ as a number of units of each unit's pool, at least one unless it is 0."""
        sizes, place = cast(tuple[Tensor, Tensor], self._sizes(lm).unique(return_inverse=True))
        if not 0 <= tau <= sizes.min():
            where = f"{self.space}s" + (" of a layer" if self.mode == "code" and self.space == "neuron" else "")
            raise UsageError(
                f"set_difference: τ = {tau:g} is neither a share nor a number of the {int(sizes.min())} {where}"
            )
        counts = [count_of(tau, int(size)) if tau < 1 else int(tau) for size in sizes]
        return torch.tensor(counts, dtype=torch.float64)[place].clamp(min=1 if tau else 0)

    def _admitted(self, lm: LM) -> Float[Tensor, " unit"]:
        """τmin as a number of units; where it is the larger τ, rounding must leave one beside the protected."""
        minority, majority = self._taus
        need = self._count(lm, minority)
        more = minority > majority and self.groups == "difference"
        return torch.maximum(need, self._count(lm, majority) + 1) if more else need

    def _ranks(self, scores: Float[Tensor, " unit"], lm: LM) -> Float[Tensor, " unit"]:
        """Place of each unit in its pool, the highest score first; infinite without a score."""
        ranks: list[Tensor] = []
        for pool in self._pools(lm, scores):
            order = torch.argsort(pool.nan_to_num(nan=-torch.inf), descending=True, stable=True)
            ranks.append(torch.empty(len(pool)).index_put_((order,), torch.arange(len(pool)).float()))
        return torch.cat(ranks).masked_fill(scores.isnan(), torch.inf)

    def _top(self, scores: Float[Tensor, " unit"], lm: LM) -> Bool[Tensor, " unit"]:
        """The protected units: the τmaj highest."""
        return self._ranks(scores, lm) < self._count(lm, self._taus[1])

    def _scores(self, lm: LM, part: Scenario, whose: str) -> Float[Tensor, " unit"]:
        if not part.cases:
            raise UsageError(f"set_difference: there are no cases of {whose}")
        if self.space == "head":
            return NameAttention(reduce=self.reduce, positions=self.positions).score(lm, part).scores
        return ActivationNorm(self.space, "l2" if self.mode == "code" else "paper", self.tokens).score(lm, part).scores
